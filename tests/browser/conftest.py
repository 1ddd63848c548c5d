"""The app in a real browser: a server of its own, and the Chromium of the system."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, expect

from tests.support import PROJECT
from tests.support.server import serve
from tests.support.stage import wait_for_run
from vae_explorer.bundling import ROOT as MODULES

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # WebGL without a graphics card
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    # nothing leaves the machine
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

expect.set_options(timeout=20_000)  # ms: on a busy machine the first picture takes a while

collect_ignore_glob = [] if CHROMIUM else ["test_*.py"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the browser last: the event loop it keeps open would be in the way of other tests.

    Where several tests run at a time, those of a file stay together.
    """
    here = Path(__file__).parent
    items.sort(key=lambda item: here in item.path.parents)
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if CHROMIUM is None:
        terminalreporter.write_line(
            "The browser tests were left out: there is no Chromium. "
            "On Debian: apt-get install chromium"
        )


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, object]) -> dict[str, object]:
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": CHROMIUM_FLAGS}


@pytest.fixture(scope="session")
def app_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the app and return its address; it shows VAE_EXPLORER_CHECKPOINTS, where set.

    It runs in a folder without other trainings, with the data that are here. Where INSTALLED names
    the command of an installed copy, that one runs, in an empty folder.
    """
    folder = tmp_path_factory.mktemp("app")
    if installed := os.environ.get("INSTALLED"):
        with serve(folder, folder / "log.txt", installed=installed) as url:
            yield url
        return
    for name in (".streamlit", "data"):
        if (PROJECT / name).exists():
            (folder / name).symlink_to(PROJECT / name)
    shelf = Path(os.environ.get("VAE_EXPLORER_CHECKPOINTS", PROJECT / "checkpoints")).resolve()
    with serve(folder, folder / "log.txt", VAE_EXPLORER_CHECKPOINTS=str(shelf)) as url:
        yield url


@pytest.fixture
def load_modules(new_context: Callable[..., BrowserContext]) -> Callable[..., Page]:
    """Return `load_modules("lib/a.js", ...)`: an empty page that has what these modules export."""

    def load_modules(*paths: str) -> Page:
        page = new_context().new_page()
        page.route(
            "http://127.0.0.1:1/**",
            lambda route, request: (
                route.fulfill(path=MODULES / request.url.split("/", 3)[3])
                if request.url.endswith(".js")
                else route.fulfill(body="<!doctype html>", content_type="text/html")
            ),
        )
        page.goto("http://127.0.0.1:1/")
        for path in paths:
            page.evaluate(
                "async (path) => void Object.assign(window, await import(path))", f"/{path}"
            )
        return page

    return load_modules


@pytest.fixture
def open_page(
    app_url: str, new_context: Callable[..., BrowserContext]
) -> Iterator[Callable[..., Page]]:
    """Return `open_page(path="", *, dark=…, …)`: a page that has run.

    By default the latent map rests, where else a cursor would demonstrate it, and all else moves.

    While `cut_off()`, only the app's own socket gets through, none of the extra routes: none below
    `cut`. `script` runs in the page before anything else. The test
    fails at its end if a page wrote an error to the console, threw one, shows one, or asked anyone
    but the app for anything.
    """
    faults: list[str] = []
    pages: list[Page] = []

    def hear(message: ConsoleMessage) -> None:
        # Streamlit looks for its server below a page's own address first: not there is no fault.
        # Nor is what a test itself cuts off.
        if message.type == "error" and not (
            "/_stcore/" in message.location["url"] or "net::ERR_FAILED" in message.text
        ):
            faults.append(f"console: {message.text} ({message.location['url']})")

    def follow(request: Request) -> None:
        if re.match("(http|ws)s?:", request.url) and not request.url.startswith(f"{app_url}/"):
            faults.append(f"asked: {request.url}")
        # A picture that is a file of the server's is gone with the rerun that drops it, and then
        # missing where a browser is slow: pictures carry themselves.
        if request.resource_type == "image" and request.url.startswith("http"):
            faults.append(f"a picture by its file: {request.url}")

    def open_page(
        path: str = "",
        *,
        dark: bool = False,
        phone: bool = False,
        moving: bool | None = None,
        cut_off: Callable[[], bool] | None = None,
        cut: str = "**/api/**",
        script: str = "",
    ) -> Page:
        if moving is None:
            moving = not re.match(r"(latent_map)?(\?|$)", path)
        context = new_context(
            viewport={"width": 390, "height": 844} if phone else {"width": 1280, "height": 720},
            device_scale_factor=2 if phone else 1,
            has_touch=phone,
            color_scheme="dark" if dark else "light",
            reduced_motion="no-preference" if moving else "reduce",
        )
        context.on("weberror", lambda error: faults.append(f"thrown: {error.error}"))
        context.on("console", hear)
        context.on("request", follow)
        if cut_off:
            context.route(cut, lambda route: route.abort() if cut_off() else route.continue_())
        if script:
            context.add_init_script(script)
        page = context.new_page()
        pages.append(page)
        page.goto(f"{app_url}/{path.lstrip('/')}")
        wait_for_run(page)
        return page

    yield open_page
    for page in pages:
        faults += [f"shown: {e}" for e in page.get_by_test_id("stException").all_inner_texts()]
    assert not faults, "\n".join(faults)
