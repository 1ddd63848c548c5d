"""What the registry says of all data sets."""

from __future__ import annotations

import pytest

from vae_explorer.data.registry import is_inverted


@pytest.mark.parametrize(
    ("dataset", "channels", "inverted"),
    [
        ("unknown", 1, True),
        ("mnist", 1, True),
        ("digits", 1, True),
        ("folder", 1, False),
        ("celeba", 1, False),
        ("celeba", 3, False),
    ],
)
def test_grey_images_are_inverted_where_ink_is_stored_as_1(
    dataset: str, channels: int, inverted: bool
) -> None:
    assert is_inverted(dataset, channels) == inverted
