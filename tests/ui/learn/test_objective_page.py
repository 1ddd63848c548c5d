from __future__ import annotations

import pytest

from tests.support.session import Open, Session
from vae_explorer.checkpoints import load_checkpoint

PAGE, VAE, AUTOENCODER = "objective", "digits-vae-2d", "digits-ae-2d"
SLIDERS = {
    "trick": {"mu", "sigma", "samples"},
    "kl": {"mu", "sigma"},
    "bubbles": {"beta"},
    "pixel": {"target", "prediction", "beta"},
    "bound": {"step", "mu", "sigma", "x", "k"},
}


def view_of(session: Session) -> dict:
    (key,) = session.views()
    return session.view(key)


@pytest.mark.parametrize("view", SLIDERS)
def test_a_link_opens_a_view_and_its_sliders(open_app: Open, view: str) -> None:
    session = open_app(PAGE, model=VAE, view=view)
    assert set(view_of(session)["values"]) == SLIDERS[view]
    assert not session.notices
    wanted = {s["name"]: s["low"] + 2 * s["step"] for s in view_of(session)["sliders"]}
    if view in ("trick", "bound"):
        wanted["k" if view == "bound" else "samples"] = 4.0
    session = open_app(PAGE, model=VAE, view=view, **{n: f"{v:g}" for n, v in wanted.items()})
    assert view_of(session)["values"] == pytest.approx(wanted)
    assert not session.notices


def test_a_release_stands_in_the_link_and_reopens(open_app: Open) -> None:
    session = open_app(PAGE, model=VAE, view="kl")
    session.send("objective-kl", "values", {"mu": 1.5, "sigma": 0.4})
    assert session.link == {"model": VAE, "view": "kl", "mu": "1.5", "sigma": "0.4"}
    assert open_app(PAGE, **session.link).seen() == session.seen()


@pytest.mark.parametrize("view", SLIDERS)
def test_every_slider_is_taken_up(open_app: Open, view: str) -> None:
    session = open_app(PAGE, view=view)
    highest = {slider["name"]: slider["high"] for slider in view_of(session)["sliders"]}
    session.send(f"objective-{view}", "values", highest)
    assert view_of(session)["values"] == highest
    assert {name: float(session.link[name]) for name in highest} == highest


def test_q_goes_along_from_view_to_view(open_app: Open) -> None:
    session = open_app(PAGE, view="kl").send("objective-kl", "values", {"mu": -0.5})
    assert view_of(session.set(view="bound"))["values"]["mu"] == -0.5


@pytest.mark.parametrize(
    ("name", "value"), [("mu", "9"), ("sigma", "0"), ("sigma", "nan"), ("view", "elbo")]
)
def test_what_cannot_be_used_is_told(open_app: Open, name: str, value: str) -> None:
    session = open_app(PAGE, **{"view": "kl", name: value})
    assert f"{name} = `{value}` cannot be used" in session.notices
    assert name not in session.link or session.link[name] != value


def test_a_number_between_two_powers_of_two_is_the_nearer(open_app: Open) -> None:
    assert view_of(open_app(PAGE, view="bound", k="100"))["values"]["k"] == 128


def test_sum_and_mean_are_compared_with_the_models_own_numbers(open_app: Open) -> None:
    model = view_of(open_app(PAGE, view="pixel", model=VAE))["model"]
    metrics = load_checkpoint(VAE).card.metrics
    assert model["values"] == 64
    assert model["reconstruction"] == metrics["reconstruction"].value
    assert model["kl"] == metrics["kl"].value
    assert view_of(open_app(PAGE, view="pixel", model=AUTOENCODER))["model"]["kl"] == 10


def test_a_reset_brings_the_defaults_back(open_app: Open) -> None:
    session = open_app(PAGE, model=VAE, view="kl", mu="2").click("Reset")
    assert session.link == {"model": VAE}
    assert view_of(session)["view"] == "trick"
