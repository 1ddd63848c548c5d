"""Models as one HTML page, which shows them with the modules of the app and asks for nothing.

The page is a text file with all that it needs: styles, scripts, and for each model the packed
networks of `vae_explorer.weights` and what its views are given. These are compressed by gzip and
written as text (`to_text`). No image of a data set is in it: points of the latent map are
encodings, with labels alone.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_explorer.bundling import ROOT, bundle_script, join_styles
from vae_explorer.checkpoints import Checkpoint
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.config import JsonValue
from vae_explorer.editing.recipe import REACH, editable, editing_vectors
from vae_explorer.editing.vectors import OFFERED
from vae_explorer.errors import TransferError, UnsupportedLayerError
from vae_explorer.evaluation.description import (
    describe_card,
    describe_metrics,
    format_attribute,
    most_drifting,
)
from vae_explorer.faces.editing import BLENDING
from vae_explorer.faces.geometry import mean_landmarks
from vae_explorer.faces.morph import FADE_POWER
from vae_explorer.figures import CLASS_COLOURS
from vae_explorer.installation import APP
from vae_explorer.latent.planes import (
    Plane,
    coordinate_plane,
    dimension_name,
    principal_components,
)
from vae_explorer.latent.prior import WEIGHTS, sample_prior
from vae_explorer.latent.statistics import SMALLEST_HALF
from vae_explorer.weights import NETWORKS, pack_model
from vae_explorer.workspace import atomic_write

SUFFIXES = (".html", ".htm")
LETTERS = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in "<>&")
"""The 91 characters of packed text: printable ASCII that means nothing in HTML."""
_BITS = 13  # in two letters: 91² = 8281 is more than 2¹³ = 8192

_FACES, _DIGITS = "celeba", "mnist"
_POINTS = 10_000  # of a map, at most
_COMPARED = 3_000  # encodings among which the nearest to a drawing are found
_FITTED_FROM = 20_000  # draws whose mean and covariance stand for the fitted prior
_CAUGHT = 0.999  # share of the points that a map shows at first, along each axis
_FACE_SIDE = 256  # of faces on the screen, in pixels
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; worker-src blob:; "
    "base-uri 'none'; form-action 'none'"
)
_CREDIT = "Made with VAE Explorer"

Json = dict[str, JsonValue]


def write_page(checkpoints: Sequence[Checkpoint], file: Path) -> int:
    """Write models as one HTML page, replacing the file if there is one.

    Parameters
    ----------
    checkpoints : sequence of Checkpoint
        At least one; of several, the page has a picker.
    file : Path
        Ends in .html or .htm.

    Returns
    -------
    int
        Its bytes.

    Raises
    ------
    UnsupportedLayerError
        If the browser cannot compute one of the models.
    TransferError
        If the file has another ending or cannot be written.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise TransferError(
            f"{file.name!r} is not the name of an HTML page. Choose one that ends in .html."
        )
    if file.is_dir():
        raise TransferError(f"{file.name} is a folder. Choose another name for the page.")
    page = build_page(checkpoints)
    try:
        with atomic_write(file) as partial:
            partial.write_bytes(page)
    except OSError as error:
        raise TransferError(f"{file.name} cannot be written: {error.strerror}.") from error
    return len(page)


def build_page(checkpoints: Sequence[Checkpoint]) -> bytes:
    """Return models as one HTML page, in UTF-8; see `write_page`."""
    cards = [checkpoint.card for checkpoint in checkpoints]
    blocks = []
    for number, checkpoint in enumerate(checkpoints):
        parts = {"about": json.dumps(describe_model(checkpoint), separators=(",", ":")).encode()}
        try:
            parts |= {name: pack_model(checkpoint.model, [name]) for name in NETWORKS}
        except UnsupportedLayerError as error:
            raise UnsupportedLayerError(
                f"{checkpoint.card.title} cannot become an HTML page, in which the browser "
                f"computes the model. {error}"
            ) from error
        blocks += [
            f'<script type="text/plain" data-model="{number}" data-part="{part}">'
            f"{to_text(gzip.compress(content, 9, mtime=0))}</script>"
            for part, content in parts.items()
        ]
    title = cards[0].title if len(cards) == 1 else "Models in VAE Explorer"
    fields = {
        "policy": html.escape(_POLICY),
        "title": html.escape(title),
        "description": html.escape(
            f"{', '.join(card.title for card in cards)}. {_CREDIT}: it computes in this browser."
        ),
        "icon": _icon(),
        "styles": "\n".join(
            [_theme(), join_styles(("base", "explore", "faces", "learn")), _read("page.css")]
        ),
        "cards": "\n".join(map(_write_card, range(len(cards)), cards)),
        "credit": html.escape(_CREDIT),
        "blocks": "\n".join(blocks),
        "script": _guard(bundle_script(ROOT / "page" / "main.js")),
    }
    # In one go, so that nothing that was filled in is taken for a place to fill.
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: fields[match[1]], _read("page.html"))
    return page.encode()


def to_text(data: bytes) -> str:
    """Write bytes as text of `LETTERS`, which `browser/lib/packed_text.js` reads.

    Each 13 bits, the first bit of a byte being its lowest, are two letters, the first standing
    for the remainder by 91 and the second for the quotient. So text has 16 characters for 13
    bytes, base64 17.3. Zeros fill up the last bits; of up to five, only the first letter is
    written, so that they are always fewer than a byte.
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    is_short = 0 < len(bits) % _BITS <= _BITS - 8
    numbers = np.pad(bits, (0, -len(bits) % _BITS)).reshape(-1, _BITS) @ (1 << np.arange(_BITS))
    letters = np.stack([numbers % len(LETTERS), numbers // len(LETTERS)], axis=1).ravel()
    text = np.frombuffer(LETTERS.encode(), np.uint8)[letters].tobytes().decode("ascii")
    return text[:-1] if is_short else text


def describe_model(checkpoint: Checkpoint) -> Json:
    """Return what the page's views are given of a model, as JSON without any image."""
    card, encodings = checkpoint.card, checkpoint.encodings
    config = card.model
    is_faces = card.dataset.name == _FACES
    plane = _main_plane(checkpoint)
    count = len(encodings.z_mean)
    rows = np.unique(np.linspace(0, count - 1, min(count, _POINTS)).astype(int))
    points = plane.to_plane(encodings.z_mean[rows])
    low, high = np.quantile(points, [1 - _CAUGHT, _CAUGHT], axis=0)
    half = max(float((high - low).max() / 2 * 1.1), SMALLEST_HALF)
    reach = max(1.0, float(np.ceil(np.abs(plane.to_plane(encodings.z_mean)).max())))
    usual, along = 3.0, 3.0
    if config.kind == "autoencoder":
        usual, along = reach, max(1.0, float(np.ceil(np.abs(encodings.z_mean).max())))
    order = np.argsort(-_strengths(checkpoint), kind="stable")
    labels = None if encodings.labels is None else encodings.labels[rows].tolist()
    about: Json = {
        "name": card.name,
        "fingerprint": card.fingerprint,
        "title": card.title,
        "kind": config.kind,
        "image_shape": list(config.image_shape),
        "latent_dim": config.latent_dim,
        "ink": card.is_inverted,
        "is_digits": card.dataset.name == _DIGITS,
        "is_faces": is_faces,
        "inner": card.dataset.image_size,
        "data": card.dataset.title,
        "points_are": _name_split(checkpoint),
        "colours": list(CLASS_COLOURS),
        "label_names": list(card.label_names),
        "plane": {
            "origin": plane.origin.tolist(),
            "axes": plane.axes.tolist(),
            "names": list(plane.names),
        },
        "map": {
            "points": _shorten(points),
            "labels": labels,
            "attributes": _attributes(checkpoint, rows) if labels is None else {},
            "middle": _shorten((low + high) / 2),
            "half": half,
        },
        "window": [
            _setting("extent", "Range", (0.1, max(reach, 4.0)), usual),
            _setting("x", f"Centre {plane.names[0]}", (-reach, reach), 0.0),
            _setting("y", f"Centre {plane.names[1]}", (-reach, reach), 0.0),
        ],
        "dimensions": [
            {
                **_setting(f"dim{k + 1}", dimension_name(k), (-along, along), 0.0),
                "dimension": k,
            }
            for k in order.tolist()
        ],
        "priors": _priors(checkpoint),
        "temperature": _setting("temperature", "Temperature", (0.0, 2.0), 1.0, 0.05),
    }
    if card.dataset.name == _DIGITS and encodings.labels is not None:
        about["compared"] = {
            "z": _shorten(encodings.z_mean[:_COMPARED]),
            "labels": encodings.labels[:_COMPARED].tolist(),
        }
    if is_faces:
        about["faces"] = _face_views(checkpoint)
    return about


def _main_plane(checkpoint: Checkpoint) -> Plane:
    latent_dim = checkpoint.card.model.latent_dim
    if latent_dim == 2:
        return coordinate_plane(latent_dim)
    return principal_components(checkpoint.encodings.z_mean).plane()


def _strengths(checkpoint: Checkpoint) -> NDArray[np.float64]:
    """Return how much each dimension carries: its KL, or without one the variance of z."""
    kl = checkpoint.card.metrics.get("kl_per_dimension")
    if kl is not None and isinstance(kl.value, tuple):
        return np.array(kl.value, np.float64)
    return checkpoint.encodings.z_mean.var(axis=0).astype(np.float64)


def _name_split(checkpoint: Checkpoint) -> str:
    is_test = bool((checkpoint.encodings.split == "test").all())
    return "test image" if is_test else "image"


def _attributes(checkpoint: Checkpoint, rows: NDArray[np.integer]) -> Json:
    """Return which points have each attribute that may be edited: "0" and "1", by its name."""
    attributes = checkpoint.encodings.attributes
    if attributes is None:
        return {}
    known = checkpoint.card.attribute_names
    offered = [name for group in OFFERED.values() for name in group if name in known]
    return {
        format_attribute(name): "".join(
            "1" if has else "0" for has in attributes[rows, known.index(name)]
        )
        for name in offered or known
    }


def _priors(checkpoint: Checkpoint) -> list[JsonValue]:
    """Return the distributions that samples are drawn from, the first one by default.

    Each has a `kind`: "gaussian", with the lower triangle of its Cholesky factor in rows, or
    none for N(0, I); or "box".
    """
    z_mean, latent_dim = checkpoint.encodings.z_mean, checkpoint.card.model.latent_dim
    if checkpoint.card.model.kind == "autoencoder":
        low, high = z_mean.min(axis=0), z_mean.max(axis=0)
        own: Json = {
            "kind": "box",
            "label": "Box",
            "caption": "A plain autoencoder has no prior, so z is sampled uniformly from the "
            "bounding box of its encodings. Many samples do not resemble the data.",
            "low": _shorten(low),
            "high": _shorten(high),
        }
    else:
        own = {
            "kind": "gaussian",
            "label": "N(0, I)",
            "caption": "z is sampled from the prior, N(0, I).",
        }
    if WEIGHTS not in checkpoint.latent or latent_dim <= 2:
        return [own]
    # The fitted prior of the app draws around encodings, and has more numbers than the networks.
    drawn = sample_prior(checkpoint.latent, _FITTED_FROM, 1.0, 0).astype(np.float64)
    factor = np.linalg.cholesky(np.cov(drawn.T) + 1e-6 * np.eye(latent_dim))
    fitted: Json = {
        "kind": "gaussian",
        "label": "Fitted",
        "caption": "z is sampled from a Gaussian with the mean and covariance of the prior that "
        "was fitted to the encodings of the training images.",
        "mean": _shorten(drawn.mean(axis=0)),
        "factor": _shorten(factor[np.tril_indices(latent_dim)], digits=3),
    }
    return [fitted, own]


def _face_views(checkpoint: Checkpoint) -> Json:
    vectors = editing_vectors(checkpoint)
    known = set(editable(checkpoint))
    groups: list[JsonValue] = [
        {
            "title": group,
            "settings": [
                {
                    **_setting(f"edit_{name}", format_attribute(name), (-REACH, REACH), 0.0),
                    "beside": [list(each) for each in most_drifting(checkpoint.card, name)],
                }
                for name in members
                if name in known and name in vectors
            ],
        }
        for group, members in OFFERED.items()
    ]
    return {
        "side": _FACE_SIDE,
        "groups": [group for group in groups if isinstance(group, dict) and group["settings"]],
        "vectors": {f"edit_{name}": _shorten(vector) for name, vector in vectors.items()},
        "detail": _setting("detail", "Photo detail", (0.0, 1.0), 1.0, 0.05),
        "blending": json.loads(json.dumps(BLENDING)),
        "fade_power": FADE_POWER,
        "eyes": [_shorten(eye) for eye in mean_landmarks(1.0)[:2]],
    }


def _setting(
    name: str, label: str, limits: tuple[float, float], reset: float, step: float = 0.1
) -> Json:
    """Describe a slider as `ui.stage.tiles.Setting` does."""
    return {
        "name": name,
        "label": label,
        "low": limits[0],
        "high": limits[1],
        "reset": reset,
        "step": step,
        "beside": [],
    }


def _shorten(values: ArrayLike, digits: int = 4) -> list[JsonValue]:
    """Return numbers, one after another, with so many significant digits."""
    return [float(f"{value:.{digits}g}") for value in np.ravel(values)]


def _write_card(number: int, card: ModelCard) -> str:
    """Write a model card as HTML, hidden until its model is chosen."""

    def row(name: str, value: str, about: str = "") -> str:
        hint = f' title="{html.escape(about)}"' if about else ""
        return f"<tr{hint}><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"

    facts = "".join(row(name, value) for name, value in describe_card(card).items())
    metrics = "".join(
        row(each.title, each.value, each.explanation) for each in describe_metrics(card)
    )
    data = card.dataset
    url = html.escape(data.url)
    link = f'<a href="{url}" rel="noreferrer">{url}</a>' if re.match("https?://", data.url) else url
    return (
        f'<section class="page-card" data-card="{number}" hidden>'
        f"<div><h2>{html.escape(card.title)}</h2><table>{facts}</table></div>"
        f"<div><h2>Metrics</h2><table>{metrics or row('None', 'measured')}</table></div>"
        f"<div><h2>Data and licence</h2><p><b>{html.escape(data.title)}</b>: "
        f"{html.escape(data.licence)}. {html.escape(data.terms)}</p>"
        f"<p>{html.escape(data.citation)}</p><p>{link}</p></div></section>"
    )


def _theme() -> str:
    """Return the app's colours as the CSS variables that Streamlit makes of them."""
    settings = tomllib.loads((APP / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    light, dark = (_variables(settings["theme"][name]) for name in ("light", "dark"))
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"
    )


def _variables(colours: Mapping[str, object]) -> str:
    names = {name: re.sub("([A-Z])", r"-\1", name).lower() for name in colours}
    return " ".join(
        f"--st-{names[name]}: {value};" for name, value in colours.items() if isinstance(value, str)
    )


def _icon() -> str:
    circle = f'<circle cx="32" cy="32" r="24" fill="{CLASS_COLOURS[0]}"/>'
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">{circle}</svg>'
    return f"data:image/svg+xml;base64,{base64.b64encode(drawing.encode()).decode()}"


def _guard(script: str) -> str:
    """Return a script without what would end it, or begin a comment, within HTML."""
    return re.sub("<(?=/script|!--|script)", r"\\x3c", script, flags=re.IGNORECASE)


def _read(name: Literal["page.html", "page.css"]) -> str:
    return (ROOT / "page" / name).read_text(encoding="utf-8")
