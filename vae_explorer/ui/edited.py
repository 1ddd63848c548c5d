"""A change of faces carried out: on a photo, on a face alone, on the whole tray; and its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vae_explorer.checkpoints import Checkpoint
from vae_explorer.editing.recipe import Recipe
from vae_explorer.faces import edit_photo, whole_face
from vae_explorer.images import encode_picture, write_animation, zip_of_files
from vae_explorer.ui.tray import TrayFace

Pixels = NDArray[np.uint8]
_ENDING = {"jpeg": "jpg", "png": "png", "webp": "webp"}
_SIDE = 320  # of a face alone
_FRAMES, _SECONDS = 21, 1.5


@dataclass(frozen=True, eq=False)
class Edit:
    """What a recipe makes of faces."""

    checkpoint: Checkpoint
    recipe: Recipe
    vectors: dict[str, np.ndarray]
    """(latent_dim,) each; all that the recipe moves along."""

    def photo(self, kept: TrayFace) -> Pixels:
        """Return the whole photo with its face changed, uint8 (height, width, 3)."""
        face = kept.face or whole_face(kept.photo.width)
        image = edit_photo(
            kept.photo,
            face,
            self.checkpoint,
            self.recipe.amounts,
            self.recipe.detail,
            vectors=self.vectors,
        )
        return np.asarray(image)

    def face(self, kept: TrayFace, size: int = _SIDE, share: float = 1.0) -> Pixels:
        """Return the aligned face with so much of the change, uint8 (size, size, 3)."""
        image = edit_photo(
            kept.portrait(size),
            whole_face(size),
            self.checkpoint,
            {name: share * amount for name, amount in self.recipe.amounts.items()},
            self.recipe.detail,
            vectors=self.vectors,
        )
        return np.asarray(image)

    def files(
        self, kept: TrayFace, tray: Sequence[TrayFace]
    ) -> dict[str, tuple[str, Callable[[], bytes]]]:
        """Return what can be saved, by label: each file's name, and what writes it."""

        def write_animated() -> bytes:
            shares = np.linspace(0, 1, _FRAMES)
            frames = np.stack([self.face(kept, share=share) for share in shares])
            return write_animation(frames, "webp", _SECONDS)

        def write_pair() -> bytes:
            before = np.asarray(kept.portrait(_SIDE))
            return encode_picture(np.hstack([before, self.face(kept)]), "png")

        files: dict[str, tuple[str, Callable[[], bytes]]] = {
            f"Photo, {kept.photo.width} × {kept.photo.height}": (
                f"edited.{_ENDING[kept.format]}",
                lambda: self._write(kept),
            ),
            "Face": ("face.png", lambda: encode_picture(self.face(kept), "png")),
            "Face, before and after": ("before-after.png", write_pair),
            "The change, animated": ("change.webp", write_animated),
        }
        if tray:
            files["All your photos, as ZIP"] = ("edited.zip", lambda: self._write_all(tray))
        return files

    def _write(self, kept: TrayFace) -> bytes:
        return encode_picture(self.photo(kept), kept.format)

    def _write_all(self, tray: Sequence[TrayFace]) -> bytes:
        names = [f"{number:02d}.{_ENDING[kept.format]}" for number, kept in enumerate(tray, 1)]
        return zip_of_files(dict(zip(names, map(self._write, tray), strict=True)))
