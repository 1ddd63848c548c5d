"""Before a training starts: what can be chosen, and that what is shown is what would be started."""

from __future__ import annotations

import io
import shlex
import zipfile
from pathlib import Path

import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1.element_tree import Button

from tests.support.session import Open, Session
from vae_explorer.cli.train import TrainRequest
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.data.user_sets import add_user_set, list_user_sets
from vae_explorer.models import count_model_parameters
from vae_explorer.presets import PRESETS
from vae_explorer.ui.train import data, form
from vae_explorer.workspace import READ_ONLY

PAGE, START = "train", "Start training"


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Collect what would be started; nothing is."""
    found: list[list[str]] = []
    choose = form.choose_training

    def note() -> None:
        if arguments := choose():
            found.append(arguments)

    monkeypatch.setattr(form, "choose_training", note)
    return found


@pytest.fixture
def own_folder(data_folder: Path) -> Path:
    """An empty folder of data, instead of the one that tests share."""
    data_folder.unlink()
    data_folder.mkdir()
    return data_folder


def zipped(count: int = 30, **others: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(count):
            picture = io.BytesIO()
            Image.new("RGB", (9, 9), (number, 0, 0)).save(picture, "PNG")
            archive.writestr(f"{'cat' if number % 2 else 'dog'}/{number}.png", picture.getvalue())
        for name, content in others.items():
            archive.writestr(name.replace("_", "."), content)
    return file.getvalue()


def read_command(session: Session) -> tuple[list[str], ModelConfig, TrainConfig]:
    """Read the command that is shown as a shell and the command line would."""
    (shown,) = (code.value for code in session.app.code)
    program, flag, package, *arguments = shlex.split(shown.replace("\\\n", ""))
    assert (program, flag, package) == ("python", "-m", "vae_explorer")
    return arguments, *TrainRequest.parse(arguments[1:]).read_configs()


def can_start(session: Session) -> bool:
    (button,) = (n for n in session.app._tree if isinstance(n, Button) and n.label == START)
    return not button.proto.disabled


def errors(session: Session) -> str:
    return "\n".join(error.value.replace("\\", "") for error in session.app.error)


# The command


def test_a_newcomer_starts_with_one_click_what_is_shown(open_app: Open, started):
    session = open_app(PAGE)
    arguments, model, config = read_command(session)
    assert config.dataset == "mnist"
    assert (model.image_size, model.image_channels, config.keep_epochs) == (28, 1, True)
    assert started == []
    session.click(START)
    assert started == [arguments]
    session.run()
    assert len(started) == 1


@pytest.mark.parametrize(
    ("data", "models"),
    [
        ("digits", {"own"}),
        ("mnist", {"fashion-vae", "fashion-ae", "mnist-vae", "mnist-mlp-vae", "own"}),
    ],
)
def test_the_models_that_are_offered_fit_the_data(open_app: Open, data: str, models: set[str]):
    session = open_app(PAGE, train_data=data)
    offered = {option.split(" · ")[0] for option in session.widget("train_model").options}
    assert {name.replace("Custom", "own") for name in offered} == models
    for name in models - {"own"}:
        _, model, config = read_command(session.set(train_model=name))
        assert (model, config.dataset) == (PRESETS[name], data)


def test_other_data_gives_another_command_and_numbers_that_fit_it(open_app: Open):
    session = open_app(PAGE, train_data="digits").set(train_epochs=7)
    assert read_command(session)[2].epochs == 7
    _, model, config = read_command(session.set(train_data="mnist"))
    assert (model, config.dataset) == (PRESETS["mnist-vae"], "mnist")
    assert (config.epochs, config.batch_size) == (10, 128)
    _, own, _ = read_command(session.set(train_model="own"))
    assert own.image_size == 28


def test_what_is_chosen_is_what_the_command_says(open_app: Open):
    session = open_app(PAGE, train_data="digits")
    session.set(
        train_channels="8,16",
        train_latent=5,
        train_likelihood="gaussian",
        train_epochs=3,
        train_beta=4.0,
        train_patience=2,
        train_seed=9,
        train_name="nine",
    )
    arguments, model, config = read_command(session)
    assert (model.channels, model.latent_dim, model.likelihood) == ((8, 16), 5, "gaussian")
    assert (config.epochs, config.beta, config.patience, config.seed) == (3, 4, 2, 9)
    assert Path(arguments[arguments.index("--out") + 1]).name == "nine"


def test_a_plain_autoencoder_has_no_beta(open_app: Open):
    session = open_app(PAGE, train_data="mnist", train_model="fashion-ae")
    assert not any("β" in label for label in session.labels())
    assert any("β" in label for label in session.set(train_model="fashion-vae").labels())


def test_a_link_opens_the_same_choice(open_app: Open):
    session = open_app(PAGE, train_data="mnist", train_model="own", train_latent="7")
    again = open_app(PAGE, **session.link)
    assert read_command(again) == read_command(session)
    assert read_command(again)[1].latent_dim == 7


# What is said before


def test_the_numbers_of_images_parameters_and_epochs_are_shown(open_app: Open):
    session = open_app(PAGE, train_data="mnist")
    encoder, decoder = count_model_parameters(PRESETS["mnist-vae"])
    assert "57,000 images" in session.words
    assert f"{encoder + decoder:,} parameters" in session.words
    assert "10 epochs" in session.words
    assert "1 epoch**" in session.set(train_epochs=1).words
    assert "100 epochs**, fewer" in session.set(train_epochs=100, train_patience=3).words


def test_what_is_to_be_downloaded_says_how_much_and_on_which_terms(open_app: Open):
    session = open_app(PAGE, train_data="fashion-mnist")
    assert any("30.9 MB" in option for option in session.widget("train_data").options)
    assert "Licence: MIT" in session.words
    assert "internet connection" in session.words


# What cannot be started


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"train_name": "![a](b)"}, "Name must be one line of 1 to 120 characters"),
        ({"train_channels": "many"}, "Channels must be whole numbers separated by commas"),
        ({"train_channels": "4,4,4,4"}, "Channels must be at most 3 numbers for images of 8×8"),
        ({"train_channels": "0"}, "Channels must be one positive number per convolution"),
    ],
)
def test_what_is_wrong_is_said_and_cannot_be_started(open_app: Open, started, wrong, reason):
    session = open_app(PAGE, train_data="digits")
    assert can_start(session)
    session.set(**wrong)
    assert reason in errors(session)
    assert "--" not in errors(session)
    assert not can_start(session)
    assert started == []


@pytest.mark.parametrize(
    ("typed", "folder"),
    [
        ("Sam's first VAE", "sams-first-vae"),
        ("-β = 4, déjà vu", "4-deja-vu"),
        ("../evil", "evil"),
        ("digits-vae-2d", "digits-vae-2d-2"),
        ("模型", "mine"),
    ],
)
def test_any_name_is_the_title_and_the_folder_s_name_is_made_from_it(
    open_app: Open, typed: str, folder: str
):
    session = open_app(PAGE, train_data="digits").set(train_name=typed)
    arguments, *_ = read_command(session)
    request = TrainRequest.parse(arguments[1:])
    assert (request.title, request.out.name) == (typed, folder)
    assert f"Folder: {folder}" in session.words.replace("\\", "")
    assert can_start(session)


def test_without_a_name_the_title_is_the_usual_one(open_app: Open):
    session = open_app(PAGE, train_data="digits")
    assert TrainRequest.parse(read_command(session)[0][1:]).title is None
    assert session.widget("train_name").placeholder == "Digits 8×8 VAE (2-D)"


def test_the_name_of_a_run_is_taken_too(open_app: Open):
    Path("runs/my-digits-vae").mkdir(parents=True)
    arguments, *_ = read_command(open_app(PAGE, train_data="digits"))
    assert Path(arguments[arguments.index("--out") + 1]).name == "my-digits-vae-2"


def test_a_copy_that_is_for_looking_says_so(open_app: Open, monkeypatch, started):
    monkeypatch.setenv(READ_ONLY, "1")
    session = open_app(PAGE)
    assert "training is turned off" in "\n".join(info.value for info in session.app.info)
    assert START not in session.labels()
    assert started == []


# One's own pictures


def upload(session: Session, data: bytes, name: str = "My cats.zip") -> Session:
    session.widget("own_zip-0").set_value((name, data, "application/zip"))
    return session.run()


def test_a_zip_is_kept_chosen_and_trained_on(open_app: Open, own_folder: Path, started):
    session = upload(open_app(PAGE, train_data="yours"), zipped(note_txt=b"x"))
    (kept,) = list_user_sets(own_folder)
    assert session.link["train_data"] == f"own-{kept.name}" == "own-my-cats"
    words = session.words.replace("\\", "")
    assert "30 images; labels: cat, dog. Left out: 1 of another type (note.txt)" in words
    arguments, model, config = read_command(session)
    assert (config.dataset, model.image_channels, model.image_size) == ("folder", 3, 64)
    assert Path(arguments[arguments.index("--source") + 1]).samefile(kept.source)
    assert "my-cats" in TrainRequest.parse(arguments[1:]).title
    assert "30 images are few" in "\n".join(w.value for w in session.app.warning)
    assert read_command(session.set(train_size="32"))[1].image_size == 32
    session.click(START)
    assert len(started) == 1


def test_a_zip_that_is_refused_says_why_and_keeps_the_others(open_app: Open, own_folder: Path):
    add_user_set("first", io.BytesIO(zipped()), own_folder)
    session = upload(open_app(PAGE, train_data="yours"), b"not a zip at all")
    assert "not a zip" in errors(session)
    assert "not a zip" in errors(session.run())
    assert [each.name for each in list_user_sets(own_folder)] == ["first"]
    assert START not in session.labels()


def test_too_few_pictures_cannot_be_started(open_app: Open, own_folder: Path):
    session = upload(open_app(PAGE, train_data="yours"), zipped(2))
    assert "2 images are usable; at least 3 are needed" in errors(session)
    assert START not in session.labels()
    assert can_start(upload(open_app(PAGE, train_data="yours"), zipped(3)))


def test_a_set_is_deleted_after_a_second_click(open_app: Open, own_folder: Path):
    add_user_set("mine", io.BytesIO(zipped()), own_folder)
    session = open_app(PAGE, train_data="own-mine").click("Delete images")
    assert list_user_sets(own_folder) == []
    assert read_command(session)[2].dataset == "mnist"


def test_a_path_is_asked_for_only_at_this_machine(open_app: Open, own_folder: Path, monkeypatch):
    folder = own_folder.parent / "pictures"
    folder.mkdir()
    with zipfile.ZipFile(io.BytesIO(zipped())) as archive:
        archive.extractall(folder)
    session = open_app(PAGE, train_data="yours")
    assert not any("on this machine" in label for label in session.labels())
    monkeypatch.setattr("vae_explorer.ui.train.data.is_at_this_machine", lambda: True)
    session.run().set(own_path=str(folder))
    arguments, *_ = read_command(session)
    assert arguments[arguments.index("--source") + 1] == str(folder)
    assert "23 images** for training" in session.words
    for number in range(5):
        (folder / "cat" / f"{2 * number + 1}.png").write_bytes(b"damaged")
    (folder / "notes.txt").write_text("no image")
    monkeypatch.setattr(data, "_digest", lambda path: "changed")  # else a few seconds later
    session.run()
    assert "20 images** for training" in session.words  # of 25, as the training will have it
    words = session.words.replace("\\", "")
    assert "6 left out (cat/1.png: not an image" in words
    session.set(own_path=str(folder / "nowhere"))
    assert "does not exist" in errors(session)


@pytest.mark.parametrize(
    ("headers", "address", "here"),
    [
        ({"Origin": "http://localhost:8501"}, None, True),
        ({"Origin": "http://127.0.0.1:8501"}, "127.0.0.1", True),
        ({"Origin": "http://[::1]:8501"}, "::1", True),
        ({}, None, False),
        ({"Origin": "https://vae.example.org"}, None, False),
        ({"Origin": "http://localhost.example.org"}, None, False),
        ({"Origin": "http://localhost:8501"}, "192.0.2.7", False),
        ({"Origin": "http://localhost:8501", "X-Forwarded-For": "192.0.2.7"}, None, False),
    ],
)
def test_who_is_at_this_machine(monkeypatch, headers: dict[str, str], address, here: bool):
    class Context:
        pass

    context = Context()
    context.headers, context.ip_address = headers, address
    monkeypatch.setattr(st, "context", context)
    assert data.is_at_this_machine() == here
