from __future__ import annotations

import pytest

from tests.support.session import Open

VAE, DEEP, AUTOENCODER = "digits-vae-2d", "digits-vae-5d", "digits-ae-2d"
LONG = "9" * 100_000

WRONG = [
    ("latent_map", VAE, "drag", "zoom", "one of pan, select, lasso"),
    ("latent_map", VAE, "scale", "log", "one of z, p"),
    ("latent_map", VAE, "show", "tiles,everything", "some of tiles, rings, samples"),
    ("latent_map", AUTOENCODER, "show", "rings", "some of tiles, samples"),
    ("latent_map", DEEP, "plane", "umap", "one of pca, z, tsne"),
    ("latent_map", DEEP, "pca_x", "6", "one of 1, 2, 3, 4, 5"),
    ("latent_map", VAE, "pin", "359", "a row from 0 to 358, or a location x,y"),
    ("latent_map", VAE, "pin", "-1", "a row from 0 to 358"),
    ("latent_map", VAE, "pin", "nan,0", "a location x,y"),
    ("latent_map", VAE, "pin", "1,2,3", "a location x,y"),
    ("latent_map", VAE, "pin", "inf,1e5", "a location x,y"),
    ("latent_map", VAE, "pin", LONG, "a row from 0 to 358"),
    ("anatomy", VAE, "layer", "last", "a whole number from 0 to 99"),
    ("anatomy", VAE, "noise", "9", "a number from 0 to 0.5"),
    ("anatomy", VAE, "epsilon_seed", "-1", "a whole number from 0 to 9999"),
    ("anatomy", VAE, "picture", "999999", "one of"),
    ("decoded_grid", VAE, "n", "100000", "a whole number from 3 to 30"),
    ("decoded_grid", VAE, "n", "2.5", "a whole number from 3 to 30"),
    ("decoded_grid", VAE, "extent", "NaN", "a number from 0.1 to"),
    ("decoded_grid", VAE, "extent", "-inf", "a number from 0.1 to"),
    ("decoded_grid", VAE, "x", "1e99", "a number from -"),
    ("decoded_grid", VAE, "spacing", "", "one of linear, quantile"),
    ("decoded_grid", DEEP, "axes", "tsne", "one of pca, z"),
    ("decoded_grid", DEEP, "pca5", "far", "a number from -"),
    ("decoded_grid", VAE, "save_size", "1000", "one of 1, 4, 8"),
    ("generate", VAE, "seed", "-1", "a whole number from 0 to 99999"),
    ("generate", VAE, "seed", LONG, "a whole number from 0 to 99999"),
    ("generate", VAE, "side", "1000", "one of 4, 6, 8, 10"),
    ("generate", VAE, "temperature", "nan", "a number from 0 to 2"),
    ("generate", VAE, "keep", "garbage", "slot:seed:temperature"),
    ("generate", VAE, "keep", "1:2:nan", "temperature out of range"),
    ("generate", VAE, "keep", "100:2:1", "slot or seed out of range"),
    ("generate", VAE, "keep", "1:99999999999:1", "slot or seed out of range"),
    ("generate", VAE, "look", "away", "one of samples, nearest"),
]


SLIDERS = [case for case in WRONG if case[2] in ("n", "extent", "x", "pca5", "temperature")]


@pytest.mark.parametrize(
    ("live", "name", "model", "key", "value", "right"),
    [(True, *case) for case in WRONG] + [(False, *case) for case in SLIDERS],
)
def test_a_value_that_cannot_be_used_gives_way_to_the_default_and_one_line_says_so(
    open_app: Open, live, name, model, key, value, right
):
    link = {"model": model, key: value}
    session = open_app(name, live=live, **link)
    assert key not in session.link
    (notice,) = session.notices.split("\n")
    assert f"{key} = `" in notice
    assert right in notice
    assert len(notice) < 300
    assert not session.run().notices  # said once


@pytest.mark.parametrize(
    ("name", "model", "key"),
    [
        ("latent_map", VAE, "z_x"),  # two dimensions leave no choice of axes
        ("latent_map", VAE, "plane"),
        ("latent_map", AUTOENCODER, "scale"),
        ("decoded_grid", VAE, "pca3"),
        ("decoded_grid", DEEP, "pca1"),
        ("overview", VAE, "pin"),
        ("anatomy", AUTOENCODER, "mean"),
        ("generate", VAE, "[no](http://example.org)"),
    ],
)
def test_a_setting_that_is_not_there_is_told_of_and_leaves_the_link(
    open_app: Open, name, model, key
):
    session = open_app(name, model=model, **{key: "3"})
    assert f"`{key}` is not a setting of this page for this model" in session.notices
    assert key not in session.link
    assert not session.run().notices


def test_what_another_view_or_model_left_goes_without_a_word(open_app: Open):
    session = open_app(model=DEEP, show="tiles", scale="p").set(plane="tsne")
    assert session.link == {"model": DEEP, "plane": "tsne"}
    session.set(model=VAE)
    assert session.link == {"model": VAE, "show": "tiles", "scale": "p"}
    session.set(model=AUTOENCODER)
    assert session.link == {"show": "tiles"}
    session.set(model=DEEP)
    assert session.link == {"model": DEEP, "plane": "tsne"}
    assert not session.notices


def test_several_wrong_values_share_one_line(open_app: Open):
    session = open_app("decoded_grid", model=VAE, n="0", x="nan", spacing="even")
    (notice,) = session.notices.split("\n")
    assert all(f"{key} = " in notice for key in ("n", "x", "spacing"))


@pytest.mark.parametrize(
    "value",
    [
        "![](http://example.org/tracker.png)",
        "[click here](http://example.org)",
        "**bold** $x^2$ :material/casino: :red[red]",
        "`; ![](http://example.org/tracker.png) `",
        "<img src=x onerror=alert(1)>",
        "a\n\n# heading",
        "``",
        " ",
    ],
)
def test_what_a_link_holds_is_shown_as_it_is_written(open_app: Open, value):
    (notice,) = open_app("decoded_grid", model=VAE, n=value).app.warning
    before, shown, after = notice.value.split("`")  # in a code span nothing is markup
    assert before.endswith("n = ")
    assert after.startswith(" cannot be used")
    assert "\n" not in shown
    assert shown.strip()


RIGHT = [
    ("latent_map", {"model": VAE, "drag": "lasso", "show": "rings,tiles", "scale": "p"}),
    ("latent_map", {"model": VAE, "pin": "17"}),
    ("latent_map", {"pin": "0.5,-1.25", "show": "samples"}),
    ("latent_map", {"model": DEEP, "plane": "tsne"}),
    ("latent_map", {"model": DEEP, "pca_x": "3", "pca_y": "2"}),
    ("decoded_grid", {"model": VAE, "n": "9", "x": "0.5", "y": "-1", "extent": "2.25"}),
    ("decoded_grid", {"model": DEEP, "pca3": "0.7", "pca_y": "5", "spacing": "quantile"}),
    ("decoded_grid", {"model": VAE, "save_size": "8", "save_as": "smooth"}),
    ("generate", {"model": VAE, "seed": "9", "side": "8", "temperature": "0.75"}),
    ("generate", {"model": DEEP, "keep": "3:9:1,5:12:0.35", "look": "nearest"}),
    ("overview", {"model": DEEP}),
]


@pytest.mark.parametrize("live", [True, False], ids=["live", "still"])
@pytest.mark.parametrize(("name", "link"), RIGHT)
def test_a_link_reopens_its_view_and_stays(open_app: Open, name, link, live):
    session = open_app(name, live=live, **link)
    assert session.link == link
    assert not session.notices
    again = open_app(name, live=live, **session.link)
    assert again.seen() == session.seen()


@pytest.mark.parametrize("name", ["latent_map", "overview", "decoded_grid", "generate"])
def test_a_view_of_defaults_has_a_bare_link(open_app: Open, name):
    assert open_app(name).link == {}


def test_what_is_default_leaves_the_link(open_app: Open):
    session = open_app("decoded_grid", model=VAE, n="9").set(n=15)
    assert session.link == {"model": VAE}
    assert session.set(model=AUTOENCODER).link == {}


def test_another_model_keeps_page_and_settings_and_drops_the_pin(open_app: Open):
    session = open_app(model=VAE, pin="7", show="tiles,rings", drag="lasso")
    session.set(model=AUTOENCODER)
    assert session.app.title[0].value == "Latent map"
    assert session.link == {"show": "tiles", "drag": "lasso"}  # it has no rings
    assert not session.notices
    session.set(model=VAE)
    assert "pin" not in session.link


def test_another_model_chosen_on_another_page_drops_the_pin_too(open_app: Open):
    session = open_app(model=VAE, pin="7").visit("overview").set(model=AUTOENCODER)
    assert session.visit("latent_map").link == {}


def test_settings_wait_while_other_pages_are_seen(open_app: Open):
    session = open_app("decoded_grid", model=VAE).set(n=7, spacing="quantile")
    session.send(f"grid-{VAE}-z-0-1", "values", {"x": 0.5})
    wanted = dict(session.link)
    for page in ("latent_map", "generate", "overview"):
        assert session.visit(page).link == {"model": VAE}
    assert session.visit("decoded_grid").link == wanted


def test_a_pin_waits_while_other_pages_are_seen(open_app: Open):
    session = open_app(model=VAE).send(f"map-{VAE}", "pin", {"row": 7})
    assert session.visit("overview").visit("latent_map").link == {"model": VAE, "pin": "7"}


@pytest.mark.parametrize("live", [True, False], ids=["live", "still"])
@pytest.mark.parametrize(("name", "link"), RIGHT)
def test_a_reset_restores_the_pages_defaults_and_keeps_the_model(open_app: Open, name, link, live):
    session = open_app(name, live=live, **link).click("Reset")
    fresh = open_app(name, live=live, model=link.get("model", AUTOENCODER))
    assert session.link == fresh.link
    assert session.seen() == fresh.seen()


def test_a_reset_leaves_the_other_pages_as_they_were(open_app: Open):
    session = open_app("decoded_grid", model=VAE).set(n=7)
    session.visit("generate").set(side="8").click("Reset")
    assert session.link == {"model": VAE}
    assert session.visit("decoded_grid").link == {"model": VAE, "n": "7"}


def test_a_reset_lets_go_of_what_was_clicked(open_app: Open):
    session = open_app("decoded_grid", model=VAE)
    session.send(f"grid-{VAE}-z-0-1", "clicked", {"tile": 0, "z": [1.0, 2.0]})
    assert "z = (1, 2)" in session.words
    assert "z = (1, 2)" not in session.click("Reset").words
