"""Many browsers that come in the second in which the server begins to answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.support.server import serve

PAGES = ("", "overview", "decoded_grid", "generate", "dimensions", "anatomy", "compare", "train")


@pytest.mark.parametrize("start", range(3))
def test_the_first_visitors_all_see_their_page(
    start: int, new_context: Callable[..., BrowserContext], tmp_path: Path
) -> None:
    with serve(tmp_path, tmp_path / "log.txt") as url:
        # One page for all, then eight different ones: each imports in another order.
        paths = [PAGES[k * (start % 2)] for k in range(8)]
        pages = [new_context().new_page() for _ in paths]
        for page, path in zip(pages, paths, strict=True):
            page.goto(f"{url}/{path}", wait_until="commit")
        for page in pages:
            expect(page.get_by_role("button", name="Reset", exact=True)).to_be_visible(
                timeout=90_000
            )
            expect(page.locator(".stException")).to_have_count(0)
        for page in pages:
            page.context.close()
    log = (tmp_path / "log.txt").read_text()
    assert "Traceback" not in log, log[-3000:]
