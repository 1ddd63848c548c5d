"""Latent spaces beside each other: which go together, and how the prior fits each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vae_explorer.catalog.table import comparable
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.checkpoints.card import ModelCard
from vae_explorer.latent.statistics import (
    largest_relative_step,
    share_far_from_prior,
    uncovered_samples,
)


@pytest.fixture
def card(checkpoint_root: Path) -> ModelCard:
    return load_checkpoint(checkpoint_root / "digits-vae-2d").card


def test_encodings_that_come_from_the_prior_leave_one_percent_uncovered() -> None:
    z = np.random.default_rng(1).standard_normal((8_000, 2))
    draws, lonely = uncovered_samples(z, 4_000)
    assert draws.shape == (4_000, 2)
    assert lonely.mean() == pytest.approx(0.01, abs=0.006)


def test_a_hole_is_found_where_it_is() -> None:
    z = np.random.default_rng(1).standard_normal((8_000, 2))
    z = z[np.linalg.norm(z - [1, 0], axis=1) > 0.7]
    draws, lonely = uncovered_samples(z, 4_000)
    inside = np.linalg.norm(draws - [1, 0], axis=1) < 0.4
    assert lonely[inside].all()
    assert lonely[~inside].mean() < 0.1


def test_encodings_far_away_cover_nothing_and_are_out_of_reach() -> None:
    z = 40 + np.random.default_rng(0).standard_normal((500, 3))
    assert uncovered_samples(z, 200)[1].all()
    assert share_far_from_prior(z) == 1
    assert share_far_from_prior(np.zeros((10, 3))) == 0


@pytest.mark.parametrize("latent_dim", [1, 2, 20])
def test_one_percent_of_the_prior_is_out_of_its_own_reach(latent_dim: int) -> None:
    z = np.random.default_rng(2).standard_normal((20_000, latent_dim))
    assert share_far_from_prior(z) == pytest.approx(0.01, abs=0.003)


def test_the_same_seed_draws_the_same() -> None:
    z = np.random.default_rng(0).standard_normal((50, 2))
    np.testing.assert_array_equal(uncovered_samples(z, 20, 3)[0], uncovered_samples(z, 20, 3)[0])
    assert not np.array_equal(uncovered_samples(z, 20, 3)[0], uncovered_samples(z, 20, 4)[0])


def test_an_even_path_has_no_largest_step_and_a_jump_is_all_of_it() -> None:
    even = np.linspace(0, 1, 9)[:, None, None, None] * np.ones((1, 1, 4, 4))
    jump = np.repeat([0.0, 1.0], [4, 5])[:, None, None, None] * np.ones((1, 1, 4, 4))
    assert largest_relative_step(even) == pytest.approx(1)
    assert largest_relative_step(jump) == pytest.approx(8)
    assert largest_relative_step(np.zeros((5, 1, 4, 4))) == 1


def test_models_of_a_plane_and_the_same_pictures_go_together_the_autoencoder_first(
    card: ModelCard,
) -> None:
    def named(name: str, beta: float = 1.0, **changes: object) -> ModelCard:
        model = replace(card.model, **changes)
        return replace(card, name=name, model=model, train=replace(card.train, beta=beta))

    strong, own, plain = named("a", 10), named("b"), named("c", kind="autoencoder")
    others = [
        named("d", latent_dim=3),
        replace(card, name="e", dataset=replace(card.dataset, name="mnist")),
    ]
    found = comparable([strong, *others, own, plain], own)
    assert [other.name for other in found] == ["c", "b", "a"]
