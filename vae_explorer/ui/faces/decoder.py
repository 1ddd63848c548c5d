"""The decoder of a face page: as trained, or tuned to the photos that are chosen there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.faces.morph import FADE_POWER, TUNED_FADE_POWER
from vae_explorer.faces.tuning import TunedFaces
from vae_explorer.inference import decode
from vae_explorer.models import Autoencoder
from vae_explorer.server import tuned as server
from vae_explorer.server.tuned import EVERYONE, Scene, TunedDecoder, Tuning
from vae_explorer.ui.faces.picker import FACES, ChosenFace, example_face
from vae_explorer.ui.faces.session_faces import tuning_owner
from vae_explorer.ui.state import recall
from vae_explorer.ui.text import escape_markdown, format_share
from vae_explorer.ui.widgets import select

_KEY = "decoder"
_DECODERS = {"trained": "As trained", "tuned": "Tuned"}
_HELP = (
    "**As trained**: the model's own decoder, and the encoder's z. **Tuned**: z is optimised for "
    "your photos, then a copy of the decoder is trained on them for about a second, so that it "
    "reconstructs them almost exactly. The copy stays in this session and is deleted with the "
    "photos."
)
_STAGES = {
    "encoder": (
        "Encoder",
        "The encoder estimates z in a single step, with the same weights for every photo. This is "
        "fast, but for this photo there is a better z: the difference is called the amortisation "
        "gap ([Cremer et al. 2018](https://arxiv.org/abs/1801.03558)).",
    ),
    "z": (
        "z optimised",
        "Starting from the encoder's z, gradient descent finds a z whose decoded image is closer "
        "to the photo. The decoder stays as it is, and what is still missing is what it has not "
        "learned to generate.",
    ),
    "decoder": (
        "Decoder tuned",
        "Now z is fixed, and a copy of the decoder is trained on the photo for about a second "
        "(pivotal tuning, [Roich et al. 2021](https://arxiv.org/abs/2106.05744)). It reconstructs "
        "this face almost exactly, and an extra loss term keeps other faces nearly as they were.",
    ),
}
"""Names of the stages, by the keys of `TunedFaces.psnr`, and what happened."""
_EVERY = 0.3  # seconds between two looks at a tuning
_STYLE = """
<style>
  .vae-tuning { display: flex; align-items: center; gap: .5rem; font-size: .875rem; }
  .vae-tuning i {
    flex: none; width: 1.1rem; height: 1.1rem; border-radius: 50%; position: relative;
    mask: radial-gradient(closest-side, transparent 65%, #000 68%);
    background: conic-gradient(#7664fb calc(var(--share) * 1turn), #8886 0);
  }
</style>
"""


@dataclass(frozen=True, eq=False)
class FaceDecoder:
    """What decodes the chosen faces of a page."""

    checkpoint: Checkpoint
    faces: tuple[ChosenFace, ...]
    """With the optimised z of those that the decoder is tuned to."""
    tuned: TunedDecoder | None
    """None as trained."""

    @property
    def model(self) -> Autoencoder:
        """The model with that decoder."""
        return self.checkpoint.model if self.tuned is None else self.tuned.faces.model

    @property
    def latents(self) -> np.ndarray:
        """The z of all faces, (n, latent_dim)."""
        return np.stack([face.z for face in self.faces])

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Decode latents (n, latent_dim) to images (n, channels, height, width) in [0, 1].

        Never through a cache: those are shared between sessions.
        """
        return decode(self.model, z)

    @property
    def fade_power(self) -> int:
        """How the residuals of a morph fade; see `faces.morph`."""
        return FADE_POWER if self.tuned is None else TUNED_FADE_POWER

    def tuned_to(self, face: str) -> TunedFaces | None:
        """Return the decoder with the z of one face alone, if it is tuned to that face."""
        if self.tuned is None or (z := self.tuned.z(face)) is None:
            return None
        return replace(self.tuned.faces, z=z[None])


def choose_decoder(
    checkpoint: Checkpoint, faces: Sequence[ChosenFace], place: DeltaGenerator
) -> FaceDecoder:
    """Select the decoder as trained or tuned; until that one is ready, it is as trained.

    Shows nothing where no chosen face is a photo.

    Parameters
    ----------
    checkpoint : Checkpoint
    faces : sequence of ChosenFace
        All that the page shows, which are tuned to together.
    place : DeltaGenerator
        Where the progress of the tuning is shown.
    """
    trained = FaceDecoder(checkpoint, tuple(faces), None)
    if checkpoint.card.dataset.name != FACES:
        return trained
    recall(_KEY, None)  # in a link it also counts where no photo is chosen yet
    photos = {face.kept.id: face.kept for face in faces if face.kept.face is not None}
    if not photos or select(_KEY, "Decoder", _DECODERS, "tuned", help=_HELP) == "trained":
        return trained
    ids = tuple(sorted(photos))
    size = checkpoint.card.model.image_size
    owner = EVERYONE if ids == (example_face().id,) else tuning_owner()
    scene = Scene(checkpoint.card.name, checkpoint.card.fingerprint, ids)
    images = np.stack([photos[id].pixels(size) for id in ids])
    tuning = server.TUNED.request(owner, checkpoint, scene, images)
    ready = tuning.decoder
    if ready is None:
        if tuning.failure:
            reason = escape_markdown(tuning.failure)
            st.caption(f"The decoder could not be tuned, so it is used as trained: {reason}")
            return trained
        with place:
            st.fragment(_show_progress, run_every=_EVERY)(tuning)
        return trained
    optimised = ((face, ready.z(face.kept.id)) for face in faces)
    return FaceDecoder(
        checkpoint,
        tuple(face if z is None else replace(face, z=z) for face, z in optimised),
        ready,
    )


def list_stages(decoder: FaceDecoder, reconstruction: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return the images of a face after each stage of the tuning, and their captions.

    Parameters
    ----------
    decoder : FaceDecoder
        Of one face.
    reconstruction : ndarray of float32 (channels, height, width)
        As trained.
    """
    if decoder.tuned is None:
        return [("**3** · Reconstruction", reconstruction)]
    faces = decoder.tuned.faces
    z = decoder.latents
    images = {
        "encoder": reconstruction,
        "z": decode(decoder.checkpoint.model, z)[0],
        "decoder": decoder.decode(z)[0],
    }
    return [
        (f"**{number}** · {_STAGES[stage][0]}, {faces.psnr[stage][0]:.1f} dB", images[stage])
        for number, stage in enumerate(_STAGES, 3)
    ]


def explain_stages(likeness: str) -> None:
    """Explain what each stage of the tuning did, and how close the encoder came."""
    columns = st.columns(len(_STAGES))
    for number, (name, words) in enumerate(_STAGES.values()):
        columns[number].markdown(f"**{number + 3} · {name}**")
        columns[number].caption(words)
    columns[0].caption(likeness)


def _show_progress(tuning: Tuning) -> None:
    if tuning.is_finished:
        st.rerun()
    photos = "this photo" if len(tuning.scene.faces) == 1 else "these photos"
    words = f"Tuning to {photos}: {format_share(tuning.progress)}"
    if not tuning.is_begun and (before := server.TUNED.count_before(tuning)):
        words = f"Waiting: {before} before you"
    st.html(
        f'{_STYLE}<div class="vae-tuning" role="status" style="--share: {tuning.progress:.2f}">'
        f"<i></i>{words}</div>"
    )
