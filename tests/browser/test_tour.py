from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.support.stage import click_map_point, find_plot, read_image


@pytest.mark.parametrize("looks", [{}, {"dark": True}, {"phone": True}])
def test_app_opens_on_the_map_of_the_fashion_vae(
    open_page: Callable[..., Page], looks: dict[str, bool]
) -> None:
    page = open_page(**looks)
    expect(page.get_by_role("heading", name="Latent map")).to_be_visible()
    picker = page.get_by_role("combobox", name="Model")
    expect(picker).to_have_value("Fashion-MNIST VAE (2-D)")
    box = picker.bounding_box()
    assert box is not None and box["y"] + box["height"] < (844 if looks.get("phone") else 720)
    points = read_image(find_plot(page).locator(".nsewdrag")).astype(int)
    colourful = np.ptp(points, axis=2) > 40  # paper, ink and grid are grey
    assert colourful.mean() > 0.01


def test_a_click_on_a_point_pins_it_and_shows_its_reconstruction(
    open_page: Callable[..., Page],
) -> None:
    page = open_page()
    row = click_map_point(page)
    expect(page).to_have_url(re.compile(rf"[?&]pin={row}\b"))
    expect(page.get_by_text("Reconstruction", exact=True)).to_be_visible()
