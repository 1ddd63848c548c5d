"""Limits of a checkpoint: what few or equal images left out of it, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_explorer.checkpoints.format import ATTRIBUTE_VECTOR
from vae_explorer.latent.statistics import TSNE_DIFFERENT, count_different

if TYPE_CHECKING:
    from vae_explorer.checkpoints import Checkpoint
    from vae_explorer.checkpoints.card import ModelCard

_NAMED = 5  # attributes that a sentence names


def describe_collapse(card: ModelCard) -> str:
    """Say why all reconstructions look the same, where no latent dimension is active; else ""."""
    active = card.metrics.get("active_units")
    if card.model.kind != "vae" or active is None or active.value != 0:
        return ""
    reason = "Too few epochs" if card.train.beta <= 1 else "Too few epochs, or too large a β"
    return f"{reason}: the model still outputs the average image."


def describe_limits(checkpoint: Checkpoint) -> dict[str, str]:
    """Say what a checkpoint lacks because its images are few or equal; nothing as a rule.

    Returns
    -------
    dict of str to str
        A sentence for the terminal and for pages, by what it is about: "encodings", "tsne",
        "active_units", "psnr" or "attribute_vectors".
    """
    card, z_mean = checkpoint.card, checkpoint.encodings.z_mean
    images, limits = len(z_mean), {}
    if images > 1 and (z_mean == z_mean[0]).all():
        limits["encodings"] = f"All {images:,} encodings are equal: maps show a single point."
    if card.model.latent_dim > 2 and checkpoint.tsne is None:
        different = count_different(z_mean)
        if different < TSNE_DIFFERENT:
            limits["tsne"] = (
                f"t-SNE needs at least {TSNE_DIFFERENT} different encodings; this set has "
                f"{different}."
            )
    if card.model.kind == "vae" and "kl" in card.metrics and "active_units" not in card.metrics:
        limits["active_units"] = "Active dimensions need at least 2 held-out images."
    if "squared_error" in card.metrics and "psnr" not in card.metrics:
        limits["psnr"] = "There is no PSNR: every held-out image is reconstructed without error."
    without = [n for n in card.attribute_names if ATTRIBUTE_VECTOR + n not in checkpoint.latent]
    if without:
        more = f" and {len(without) - _NAMED} more" if len(without) > _NAMED else ""
        limits["attribute_vectors"] = (
            "An attribute vector needs training images with the attribute and without it; there "
            f"is none for {', '.join(without[:_NAMED])}{more}."
        )
    return limits
