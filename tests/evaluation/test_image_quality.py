"""How images look, in numbers: each is tested on pictures of which the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from vae_explorer.evaluation.image_quality import (
    frechet_distance,
    highest_frequencies,
    luminance,
    sharpness,
    ssim,
)

RNG = np.random.default_rng(0)
NOISE = RNG.random((6, 3, 32, 32)).astype(np.float32)
SMOOTH = gaussian_filter(RNG.random((6, 3, 32, 32)), (0, 0, 2, 2)).astype(np.float32)
BOARD = np.indices((32, 32)).sum(0) % 2


def blur(images: np.ndarray, width: float) -> np.ndarray:
    return gaussian_filter(images, (0, 0, width, width))


def test_luminance_of_grey_is_itself_and_green_is_the_brightest() -> None:
    grey = np.repeat(NOISE[:, :1], 3, axis=1)
    np.testing.assert_allclose(luminance(grey), NOISE[:, 0], rtol=1e-6)
    np.testing.assert_allclose(luminance(NOISE[:, :1]), NOISE[:, 0])
    red, green, blue = (luminance(np.eye(3)[k].reshape(1, 3, 1, 1)).item() for k in range(3))
    assert green > red > blue > 0


def test_ssim_is_one_for_the_same_and_falls_with_noise() -> None:
    np.testing.assert_allclose(ssim(SMOOTH, SMOOTH), 1)
    near, far = (ssim(SMOOTH + k * (NOISE - 0.5), SMOOTH).mean() for k in (0.01, 0.1))
    assert 1 > near > far > 0


def test_ssim_forgives_a_shift_of_brightness_more_than_lost_structure() -> None:
    flat = np.broadcast_to(SMOOTH.mean((2, 3), keepdims=True), SMOOTH.shape)
    assert ssim(SMOOTH + 0.05, SMOOTH).mean() > ssim(flat, SMOOTH).mean() + 0.2


def test_ssim_is_symmetric() -> None:
    np.testing.assert_allclose(ssim(SMOOTH, NOISE), ssim(NOISE, SMOOTH))


def test_blur_takes_sharpness_away() -> None:
    values = [sharpness(blur(NOISE, width)) for width in (0.5, 1, 2)]
    assert values == sorted(values, reverse=True)
    assert sharpness(np.full((1, 3, 16, 16), 0.5)) == pytest.approx(0)


def test_a_checkerboard_is_not_sharp_and_is_found() -> None:
    woven = SMOOTH + 0.1 * BOARD
    assert sharpness(woven) == pytest.approx(sharpness(SMOOTH), rel=1e-3)
    assert highest_frequencies(woven) > 100 * highest_frequencies(SMOOTH)


def test_stripes_of_the_highest_frequency_count_as_a_checkerboard_does() -> None:
    stripes = SMOOTH + 0.1 * (np.arange(32) % 2)
    assert highest_frequencies(stripes) > 100 * highest_frequencies(SMOOTH)


def test_frechet_distance_is_that_of_two_gaussians() -> None:
    rng = np.random.default_rng(1)
    root = rng.normal(size=(4, 4))
    a = rng.normal(size=(400_000, 4)) @ root.T
    b = 2 * rng.normal(size=(400_000, 4)) @ root.T + 3
    # The means lie 3 apart in each of 4 dimensions; tr(C + 4 C - 2 (4 C C)^1/2) = tr C.
    want = 4 * 9 + np.trace(root @ root.T)
    assert frechet_distance(a, b) == pytest.approx(want, rel=0.01)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_frechet_distance_of_a_set_to_itself_is_zero() -> None:
    features = RNG.normal(size=(50, 8))
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)
