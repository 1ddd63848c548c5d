from __future__ import annotations

import csv
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.proto.Common_pb2 import StringTriggerValue
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1.element_tree import Dataframe

from tests.support.checkpoints import put
from tests.support.session import Files, Open, Session, read_array, read_escaped, read_picture
from vae_explorer.catalog.reconstructions import draw_row_ids, find_latents, psnr
from vae_explorer.checkpoints import load_checkpoint
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.data import ImageDataset
from vae_explorer.images import for_display, tile, to_uint8
from vae_explorer.inference import decode
from vae_explorer.training.state import save_config

PAGE = "compare"
VAE, DEEP, AUTOENCODER = "digits-vae-2d", "digits-vae-5d", "digits-ae-2d"
TITLES = {
    VAE: "Digits 8×8 VAE (2-D)",
    DEEP: "Digits 8×8 VAE (5-D)",
    AUTOENCODER: "Digits 8×8 autoencoder (2-D)",
}


@pytest.fixture
def run(
    data_folder: Path,
    trained_run: Path,
    tiny_vae_config: ModelConfig,
    tiny_train_config: TrainConfig,
) -> str:
    """A run that was not published, where the app looks for runs."""
    folder = data_folder.parent / "runs" / "mine"
    shutil.copytree(trained_run, folder)
    save_config(folder, tiny_vae_config, tiny_train_config)
    return "run:mine"


def table(session: Session) -> Dataframe:
    (found,) = (node for node in session.app._tree if isinstance(node, Dataframe))
    return found


def tick(session: Session, *names: str) -> Session:
    """Tick the rows of the table that have these names, and no others."""
    shown = list(table(session).value["name"])
    value = {"selection": {"rows": [shown.index(name) for name in names], "columns": []}}
    return session._run_with(
        WidgetState(id=table(session).proto.id, string_value=json.dumps(value))
    )


def drawn(session: Session) -> list[str]:
    """Names of the models in the plane of rate and distortion."""
    traces = session.chart("rate-distortion")["data"]
    marks = [trace for trace in traces if trace.get("name")]
    return sorted(n for trace in marks for n in trace["hovertext"])


def strips(session: Session) -> dict[str, tuple[np.ndarray, str]]:
    """Return pixels and what is said of them, by the name above them."""
    (text,) = (h.value for h in session.app.get("html") if "same-pictures" in h.value)
    rows = re.findall(r'scope="rowgroup">(.*?)</th>.*?src="(.*?)".*?</td><td>(.*?)</td>', text)
    return {name: (read_picture(source), close) for name, source, close in rows}


def test_the_table_holds_what_the_cards_say(open_app: Open) -> None:
    (shown,) = open_app(PAGE).tables()
    assert set(shown["name"]) == set(TITLES.values())
    for name, title in TITLES.items():
        row = shown["name"].index(title)
        metrics = load_checkpoint(name).card.metrics
        for column in ("negative_elbo", "reconstruction", "kl", "active_units", "psnr"):
            value = shown[column][row]
            if column in metrics:
                assert value == metrics[column].value
            else:
                assert np.isnan(value)


def test_rows_that_are_ticked_are_in_the_plots_and_in_the_link(open_app: Open) -> None:
    session = open_app(PAGE)
    tick(session, TITLES[VAE], TITLES[AUTOENCODER]).set(compare="plane")
    assert drawn(session) == sorted([TITLES[VAE], TITLES[AUTOENCODER]])
    assert set(session.link["models"].split(",")) == {VAE, AUTOENCODER}
    again = open_app(PAGE, **session.link)
    assert drawn(again) == drawn(session)
    session.set(compare="curves")
    assert len(session.chart("curves")["data"]) == 2


def test_without_a_tick_all_are_in_the_plots(open_app: Open) -> None:
    session = open_app(PAGE, compare="plane")
    assert drawn(session) == sorted(TITLES.values())
    assert "models" not in session.link


def test_models_chosen_beside_a_plot_are_ticked_in_the_table(open_app: Open) -> None:
    session = open_app(PAGE, compare="plane").set(models_picked=[DEEP])
    assert drawn(session) == [TITLES[DEEP]]
    session.set(compare="table")
    state = session.app.session_state[table(session).key]
    (row,) = state["selection"]["rows"]
    assert table(session).value["name"][row] == TITLES[DEEP]
    tick(session)  # and taken back there
    assert drawn(session.set(compare="plane")) == sorted(TITLES.values())


def test_points_lie_where_the_cards_say(open_app: Open) -> None:
    session = open_app(PAGE, compare="plane", models=DEEP)
    (mark,) = (t for t in session.chart("rate-distortion")["data"] if t.get("name"))
    metrics = load_checkpoint(DEEP).card.metrics
    assert read_array(mark["x"]).tolist() == [metrics["kl"].value]
    assert read_array(mark["y"]).tolist() == [metrics["reconstruction"].value]


def test_curves_follow_the_choice_of_quantity_and_time(open_app: Open) -> None:
    history = load_checkpoint(VAE).history
    session = open_app(PAGE, compare="curves", models=VAE)
    (line,) = session.chart("curves")["data"]
    assert read_array(line["y"]).tolist() == history["validation_reconstruction"].tolist()
    session.set(quantity="negative_elbo", per="minutes")
    (line,) = session.chart("curves")["data"]
    both = history["validation_reconstruction"] + history["validation_kl"]
    np.testing.assert_allclose(read_array(line["y"]), both)
    np.testing.assert_allclose(read_array(line["x"]), np.cumsum(history["seconds"]) / 60)


def test_an_autoencoder_has_no_curve_of_kl_and_the_page_says_so(open_app: Open) -> None:
    session = open_app(PAGE, compare="curves", quantity="kl")
    assert {line["name"] for line in session.chart("curves")["data"]} == {
        TITLES[VAE],
        TITLES[DEEP],
    }
    assert f"Not shown (no such curve): {TITLES[AUTOENCODER]}" in session.words.replace("\\", "")
    session.set(models_picked=[AUTOENCODER])
    assert session.charts() == []
    assert "None of these models has this curve" in session.app.info[0].value


def test_a_line_keeps_its_colour_when_others_go(open_app: Open) -> None:
    session = open_app(PAGE, compare="curves")
    before = {line["name"]: line["line"] for line in session.chart("curves")["data"]}
    session.set(models_picked=[DEEP])
    (line,) = session.chart("curves")["data"]
    assert line["line"] == before[TITLES[DEEP]]


def test_the_same_pictures_are_redrawn_by_each(open_app: Open, digits: ImageDataset) -> None:
    shown = strips(open_app(PAGE, compare="pictures"))
    assert next(iter(shown)) == "Held-out images"
    assert set(shown) == {"Held-out images", *TITLES.values()}
    ids = draw_row_ids([digits.rows("test")], 12, 0)
    originals = digits.take(ids) / 255
    for name, title in TITLES.items():
        checkpoint = load_checkpoint(name)
        redrawn = decode(checkpoint.model, find_latents(checkpoint.encodings, ids))
        pixels, close = shown[title]
        wanted = to_uint8(tile(for_display(redrawn), 12, gap=1))[..., 0]
        assert np.array_equal(pixels[::8, ::8], wanted)  # whole multiples
        assert close == f"{psnr(redrawn, originals):.1f} dB"
    pixels, close = shown["Held-out images"]
    assert np.array_equal(
        pixels[::8, ::8], to_uint8(tile(for_display(originals), 12, gap=1))[..., 0]
    )
    assert close == ""


def test_another_twelve_are_others_and_the_link_brings_them_back(open_app: Open) -> None:
    session = open_app(PAGE, compare="pictures")
    first = strips(session)["Held-out images"][0]
    second = strips(session.click("New images"))["Held-out images"][0]
    assert not np.array_equal(first, second)
    assert session.link["twelve"] == "1"
    again = strips(open_app(PAGE, **session.link))["Held-out images"][0]
    assert np.array_equal(again, second)


def test_without_the_data_the_page_says_how_to_get_it(
    open_app: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in ("find_dataset", "find_originals"):
        monkeypatch.setattr(f"vae_explorer.ui.train.reconstructions.{name}", lambda *_: None)
    session = open_app(PAGE, compare="pictures")
    assert "The original images are not included" in session.words
    assert "Download Digits, 8×8" in session.labels()
    assert set(strips(session)) == set(TITLES.values())


def test_a_run_stands_beside_the_models(open_app: Open, run: str) -> None:
    session = open_app(PAGE)
    (shown,) = session.tables()
    row = shown["name"].index("mine (run)")
    assert shown["measured_on"][row] == "validation"
    assert len(shown["open"][row]) == 0  # no page opens what is not published
    assert "evaluated on their own validation images" in session.words
    session.set(compare="plane")
    assert "mine (run)" in drawn(session)
    session.set(compare="pictures")
    assert strips(session)["mine (run)"][1].endswith(" dB")


def test_a_broken_run_is_named_and_the_rest_is_there(
    open_app: Open, run: str, data_folder: Path
) -> None:
    (data_folder.parent / "runs" / "mine" / "state.safetensors").write_bytes(b"")
    session = open_app(PAGE)
    assert "Cannot be read: mine" in session.words
    assert "The state of the run mine cannot be read" in session.words
    assert set(session.tables()[0]["name"]) == set(TITLES.values())


def test_the_csv_is_the_table(open_app: Open, files: Files) -> None:
    session = open_app(PAGE)
    content = files["models.csv"]()
    lines = list(csv.DictReader(io.StringIO(content)))
    (shown,) = session.tables()
    assert [line["name"] for line in lines] == shown["name"]
    for column in ("negative_elbo", "kl", "training_minutes"):
        found = [float(line[column] or "nan") for line in lines]
        np.testing.assert_array_equal(found, np.array(shown[column], float))


def click_row(session: Session, row: int, label: str) -> Session:
    """Choose what a row's button offers."""
    id = table(session).proto.button_click_widgets["open"]
    click = StringTriggerValue(data=json.dumps({"row": row, "label": label}))
    return session._run_with(WidgetState(id=id, string_trigger_value=click))


def test_a_row_opens_its_model_on_another_page(open_app: Open) -> None:
    session = open_app(PAGE)
    row = list(table(session).value["name"]).index(TITLES[DEEP])
    click_row(session, row, "Overview")
    assert read_escaped(session.app.title[0].value) == TITLES[DEEP]
    assert session.link["model"] == DEEP


@pytest.mark.parametrize(("row", "label"), [(99, "Overview"), (0, "../secret")])
def test_a_click_on_what_is_not_there_does_nothing(open_app: Open, row: int, label: str) -> None:
    session = open_app(PAGE)
    assert click_row(session, row, label).app.title[0].value == "Compare"


def put_other_data(source: Path, path: Path) -> None:
    card = load_checkpoint(source).card
    put(
        source,
        path,
        title="Other",
        dataset=replace(card.dataset, name="mnist", title="MNIST"),
    )


def test_models_of_other_data_are_shown_when_asked_for(
    open_app: Open, shelf: Path, checkpoint_root: Path
) -> None:
    shutil.copytree(checkpoint_root / VAE, shelf / VAE)
    put_other_data(checkpoint_root / DEEP, shelf / "other")
    session = open_app(PAGE, model=VAE)
    assert session.tables()[0]["name"] == [TITLES[VAE]]
    session.set(of="all")
    assert set(session.tables()[0]["name"]) == {TITLES[VAE], "Other"}
    assert list(session.tables()[0])[2] == "data"  # what tells them apart comes first
    assert "Nats cannot be compared between different data sets" in session.words
    session.set(compare="plane")
    assert not any(t["mode"] == "lines" for t in session.chart("rate-distortion")["data"])
    session.set(compare="pictures")
    assert "have different data sets" in session.app.info[0].value
    session.set(of="mnist", compare="table")
    assert session.tables()[0]["name"] == ["Other"]


@pytest.mark.parametrize("compare", ["table", "plane", "curves", "pictures"])
def test_one_model_is_enough(
    open_app: Open, shelf: Path, checkpoint_root: Path, compare: str
) -> None:
    shutil.copytree(checkpoint_root / AUTOENCODER, shelf / AUTOENCODER)
    session = open_app(PAGE, compare=compare)
    assert session.notices == ""
    assert session.charts() == {"plane": ["rate-distortion"], "curves": ["curves"]}.get(compare, [])


def test_fifty_models_fit(open_app: Open, shelf: Path, checkpoint_root: Path) -> None:
    for number in range(50):
        shutil.copytree(checkpoint_root / VAE, shelf / f"model-{number:02d}")
    session = open_app(PAGE)
    assert len(set(session.tables()[0]["name"])) == 50  # told apart by their folders
    assert len(session.set(compare="curves").chart("curves")["data"]) == 50
    assert len(strips(session.set(compare="pictures"))) == 13
    assert "the first 12 of 50" in session.words


@pytest.mark.parametrize(
    ("key", "value", "right"),
    [
        ("compare", "everything", "one of table, plane, curves, pictures"),
        ("of", "imagenet", "one of same"),
        ("models", "no-such-model", "there is no model no-such-model"),
        ("quantity", "joy", "one of reconstruction, kl, negative_elbo, loss"),
        ("twelve", "-1", "a whole number from 0 to 99999"),
    ],
)
def test_a_link_that_cannot_be_used_says_so(
    open_app: Open, shelf: Path, checkpoint_root: Path, key: str, value: str, right: str
) -> None:
    shutil.copytree(checkpoint_root / VAE, shelf / VAE)
    put_other_data(checkpoint_root / DEEP, shelf / "other")
    view = {"quantity": "curves", "twelve": "pictures"}.get(key, "table")
    session = open_app(PAGE, **({"compare": view} | {key: value}))
    assert right in session.notices
    assert key not in session.link


def test_a_reset_forgets_the_choice(open_app: Open) -> None:
    session = tick(open_app(PAGE), TITLES[VAE]).click("Reset")
    assert "models" not in session.link
    assert session.app.session_state[table(session).key]["selection"]["rows"] == []
    assert drawn(session.set(compare="plane")) == sorted(TITLES.values())


def test_pictures_of_different_people_are_different_data(
    checkpoint_root: Path, shelf: Path, open_app: Open
) -> None:
    for name, title in (("cats", "Your own pictures: cats"), ("dogs", "Your images: dogs")):
        card = load_checkpoint(checkpoint_root / VAE).card
        dataset = replace(card.dataset, name="folder", title=title)
        put(checkpoint_root / VAE, shelf / name, dataset=dataset, title=name)
    session = open_app(PAGE, model="cats")
    assert list(table(session).value["name"]) == ["cats"]
    session.set(of="folder: dogs")
    assert list(table(session).value["name"]) == ["dogs"]
    session.set(of="all", compare="pictures")
    (info,) = session.app.info
    assert "have different data sets" in info.value
