from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import PROJECT
from vae_explorer.checkpoints import list_checkpoints, load_checkpoint
from vae_explorer.cli import main
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.data import DATASETS
from vae_explorer.presets import PRESETS, find_preset
from vae_explorer.training.state import load_config, load_state
from vae_explorer.workspace import READ_ONLY, is_read_only

OUT = Path("checkpoints/small")
RUN = Path("runs/small")
SMALL = ["--config", "small.json", "--epochs", "2"]

Command = Callable[..., int]


@pytest.fixture
def command(training_folder: Path, data_root: Path) -> Command:
    """Run a command in `training_folder`; those that read data find the digits."""

    def run(name: str, *options: str | Path) -> int:
        root = [] if name == "list" else ["--root", str(data_root)]
        return main([name, *(str(option) for option in options), *root])

    return run


def stop_half_way(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a run unfinished, as a power cut after its first epoch would."""

    def cut(*_: object) -> str:
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr("vae_explorer.cli.train._epoch_line", cut)
        command("train", *SMALL, "--out", OUT)


def read_folder(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# The app


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], []),
        (["--port", "8600"], ["--server.port=8600"]),
        (["--", "--server.headless", "true"], ["--server.headless", "true"]),
        (
            ["--port", "8600", "--read-only", "--", "--theme.base=dark"],
            ["--server.port=8600", "--theme.base=dark"],
        ),
    ],
)
def test_without_a_command_the_app_is_served_with_the_options_behind_the_dashes(
    arguments: list[str], options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = []
    monkeypatch.setattr("runpy.run_module", lambda name, **_: served.append([name, *sys.argv[1:]]))
    monkeypatch.setattr(sys, "argv", ["vae-explorer"])
    monkeypatch.setenv(READ_ONLY, "")
    assert main(arguments) == 0
    assert served == [["streamlit", "run", str(PROJECT / "app.py"), *options]]
    assert is_read_only() == ("--read-only" in arguments)


def test_options_of_the_app_are_refused_with_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "8600", "list"]) == 2
    assert "--port is for the app alone" in capsys.readouterr().err


# Help


def read_help(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--help"])
    assert end.value.code == 0
    return " ".join(capsys.readouterr().out.split())


def test_help_shows_the_commands_and_how_they_are_used(capsys: pytest.CaptureFixture[str]) -> None:
    text = read_help(capsys)
    for name in ("prepare", "train", "evaluate", "list"):
        assert f"python -m vae_explorer {name}" in text


@pytest.mark.parametrize("name", ["prepare", "train"])
def test_help_names_every_data_set(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert ", ".join(DATASETS) in read_help(capsys, name)


def test_help_of_train_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    text = read_help(capsys, "train")
    assert ",".join(PRESETS) in text.replace(" ", "")  # long lines are broken at hyphens too
    assert "Ctrl-C finishes the current step, saves and stops; --resume continues" in text
    example = json.loads(text[text.index('{"model"') : text.index('"model" may also')])
    assert ModelConfig.from_dict(example["model"]).channels == (32, 64)
    assert TrainConfig.from_dict({"dataset": "digits", **example["train"]}).beta == 4


def test_help_of_evaluate_and_list_say_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        "--importance-samples K also compute the IWAE bound with K samples per image"
        in read_help(capsys, "evaluate")
    )
    assert "list" in read_help(capsys, "list")


# The main road


def test_a_model_is_trained_listed_and_evaluated(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("train", *SMALL, "--out", OUT, "--title", "Small digits") == 0
    told = capsys.readouterr().out
    assert all(f"epoch   {epoch}/2  train" in told for epoch in (1, 2))
    assert f"Saved {OUT}" in told

    assert command("list") == 0
    line = capsys.readouterr().out
    card = list_checkpoints()[0]["small"]
    loss = card.metrics["negative_elbo"].value
    assert line.split() == f"small Small digits negative_elbo {loss:.2f} nats per image".split()

    assert command("evaluate", OUT, "--json") == 0
    numbers = json.loads(capsys.readouterr().out)
    values = {name: metric.value for name, metric in card.metrics.items()}
    assert numbers == {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    assert command("evaluate", OUT, "--write", "--importance-samples", "2") == 0
    again = load_checkpoint(OUT).card
    assert again.metrics["importance_weighted_nll"].value < loss + 1
    assert {name: again.metrics[name] for name in card.metrics} == card.metrics
    assert (again.title, again.train, again.model) == (card.title, card.train, card.model)


def test_the_card_and_the_history_are_those_of_the_run(command: Command) -> None:
    assert command("train", *SMALL, "--out", OUT, "--beta", "2") == 0
    checkpoint, state = load_checkpoint(OUT), load_state(RUN)
    assert (checkpoint.card.model, checkpoint.card.train) == load_config(RUN)
    assert checkpoint.card.train.beta == 2
    assert checkpoint.card.label_names == DATASETS["digits"].label_names
    assert len(checkpoint.encodings.row_id) == 359
    assert checkpoint.history["epoch"].tolist() == [1, 2]
    assert checkpoint.history["validation_loss"].tolist() == [
        metrics.validation_loss for metrics in state.history
    ]
    assert checkpoint.tsne is None


@pytest.mark.parametrize("name", ["digits-vae-2d", "digits-vae-5d", "digits-ae-2d"])
def test_evaluate_writes_the_same_numbers_again(
    command: Command, published_checkpoints: Path, tmp_path: Path, name: str
) -> None:
    path = shutil.copytree(published_checkpoints / name, tmp_path / name)
    before = load_checkpoint(path)
    assert command("evaluate", path, "--write") == 0
    after = load_checkpoint(path)
    assert after.card.metrics == before.card.metrics
    assert after.card.sha256["model.safetensors"] == before.card.sha256["model.safetensors"]
    assert (after.tsne is None) == (name != "digits-vae-5d")


def test_list_names_broken_checkpoints_beside_the_good(
    command: Command, published_checkpoints: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(published_checkpoints, "checkpoints")
    Path("checkpoints/digits-vae-5d/model.safetensors").unlink()
    assert command("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["digits-ae-2d", "digits-vae-2d", "digits-vae-5d"]
    assert "reconstruction" in lines[0]
    assert "negative_elbo" in lines[1]
    assert "BROKEN: " in lines[2]
    assert "model.safetensors is missing" in lines[2]


def test_list_of_nothing_says_how_to_train(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("list") == 0
    assert "python -m vae_explorer train --help" in capsys.readouterr().out


def test_prepare_counts_the_pictures_of_each_split(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("prepare", "digits") == 0
    assert capsys.readouterr().out == "1,797 images of 1x8x8: 1,258 train, 180 val, 359 test\n"


# What is configured


def test_options_win_over_the_file_and_the_file_over_the_defaults(command: Command) -> None:
    options = ["--latent-dim", "3", "--lr", "0.004", "--seed", "7", "--likelihood", "gaussian"]
    assert command("train", *SMALL, *options, "--out", OUT) == 0
    model, train = load_config(RUN)
    assert (model.latent_dim, model.likelihood, model.channels) == (3, "gaussian", (8, 16))
    assert (train.learning_rate, train.seed, train.epochs) == (0.004, 7, 2)
    assert (train.warmup_steps, train.batch_size) == (9, 128)


@pytest.mark.parametrize("given", ["by option", "in the file"])
def test_a_published_model_is_named_either_way(command: Command, given: str) -> None:
    options = ["--model", "mnist-mlp-vae", "--dataset", "digits", "--epochs", "1"]
    if given == "in the file":
        Path("named.json").write_text('{"model": "mnist-mlp-vae"}', encoding="utf-8")
        options = ["--config", "named.json", *options[2:]]
    assert command("train", *options, "--out", OUT) == 0
    assert load_checkpoint(OUT).card.model == find_preset("mnist-mlp-vae")


# Refusals: exit status 2, a word of advice, and nothing touched


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        (["--dataset", "digit"], "no data set 'digit'. Did you mean 'digits'? Available: celeba"),
        (["--model", "mnist_vae"], "no model 'mnist_vae'. Did you mean 'mnist-vae'? Available:"),
        (["--likelihood", "poisson"], "likelihood must be one of 'bernoulli', 'gaussian'"),
        (["--latent-dim", "0"], "latent_dim must be at least 2; found 0"),
        (["--epochs", "0"], "epochs must be at least 1; found 0"),
        (["--lr", "-1"], "learning_rate must be a positive number; found -1.0"),
        (["--seed", "-1"], "seed must lie in 0 ... 4294967295; found -1"),
        (["--model", "faces-vae-32"], "is greyscale: image_channels must be 1"),
        (["--resume"], "no run 'small' to resume. Start it without --resume"),
    ],
)
def test_wrong_options_are_refused(
    command: Command, capsys: pytest.CaptureFixture[str], options: list[str], advice: str
) -> None:
    assert command("train", *SMALL, *options, "--out", OUT) == 2
    assert advice in capsys.readouterr().err
    assert not OUT.exists()


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (None, "wrong.json cannot be read: No such file"),
        ("{'model': 3}", "wrong.json is not JSON"),
        ("\xff\xfe", "wrong.json is not JSON"),
        ("[1]", "A configuration is a JSON object {...}; found [1]"),
        ("{}", 'No model given. Choose one with --model, or set "model"'),
        ('{"model": "mnist-vae"}', "No data set given. Choose one with --dataset: mnist"),
        ('{"model": "mnist-vae", "trian": {}}', "'trian'. Did you mean 'train'?"),
        ('{"model": "mnist-vae", "train": []}', "A configuration is a JSON object"),
        ('{"model": "mnist-vae", "train": {"dataset": 3}}', "dataset must be text; found 3"),
        ('{"model": {"latent_dims": 2}}', "'latent_dims'. Did you mean 'latent_dim'?"),
        ('{"model": {"latent_dim": 2}}', "ModelConfig lacks image_size, image_channels"),
        ('{"model": {"image_size": 28}}', "ModelConfig lacks image_channels, latent_dim"),
    ],
)
def test_a_wrong_configuration_is_refused(
    command: Command, capsys: pytest.CaptureFixture[str], text: str | None, advice: str
) -> None:
    if text is not None:
        Path("wrong.json").write_text(text, encoding="latin-1")
    assert command("train", "--config", "wrong.json", "--out", OUT) == 2
    assert advice in capsys.readouterr().err
    assert not Path("runs").exists()


def test_a_checkpoint_is_replaced_only_on_demand(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("train", *SMALL, "--out", OUT) == 0
    before = read_folder(Path())
    assert command("train", *SMALL, "--out", OUT, "--seed", "1") == 2
    assert "small already exists. Choose another --out, or add --replace" in (
        capsys.readouterr().err
    )
    assert read_folder(Path()) == before
    assert command("train", *SMALL, "--out", OUT, "--seed", "1", "--replace") == 0
    assert load_checkpoint(OUT).card.seed == 1


def test_a_run_under_way_is_neither_forgotten_nor_overwritten(
    command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_half_way(command, monkeypatch)
    before = read_folder(Path())
    assert command("train", *SMALL, "--out", OUT) == 2
    error = capsys.readouterr().err
    assert "unfinished" in error
    assert "--resume" in error
    assert "--restart" in error
    assert command("train", *SMALL, "--restart", "--dataset", "digit", "--out", OUT) == 2
    assert read_folder(Path()) == before

    assert command("train", "--resume", "--out", OUT) == 0
    assert load_checkpoint(OUT).history["epoch"].tolist() == [1, 2]


def test_restart_throws_a_run_under_way_away(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_half_way(command, monkeypatch)
    assert command("train", *SMALL, "--restart", "--seed", "5", "--out", OUT) == 0
    assert load_config(RUN)[1].seed == 5
    assert len(load_state(RUN).history) == 2


@pytest.mark.parametrize(
    ("damage", "advice"),
    [
        (Path.unlink, "model.safetensors is missing"),
        (lambda path: path.write_bytes(b"nothing"), "model.safetensors is damaged"),
    ],
)
def test_a_broken_checkpoint_is_not_evaluated(
    command: Command,
    published_checkpoints: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], object],
    advice: str,
) -> None:
    shutil.copytree(published_checkpoints / "digits-vae-2d", OUT)
    damage(OUT / "model.safetensors")
    before = read_folder(OUT)
    assert command("evaluate", OUT, "--write") == 2
    assert advice in capsys.readouterr().err
    assert read_folder(OUT) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["paint"],
        ["--port", "some"],
        ["--hom", "elsewhere"],
        ["train"],
        ["train", "--out", "checkpoints/x", "--resume", "--restart"],
        ["train", "--out", "checkpoints/x", "--epochs", "many"],
    ],
)
def test_a_wrong_command_line_shows_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: python -m vae_explorer" in capsys.readouterr().err
