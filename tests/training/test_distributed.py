"""Two processes on one machine, over gloo, do what one does."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from tests.support.processes import finish, start_processes
from vae_explorer.cli import main
from vae_explorer.config import JsonValue, ModelConfig, TrainConfig
from vae_explorer.data import ImageDataset
from vae_explorer.errors import TrainingError
from vae_explorer.evaluation.metrics import evaluate
from vae_explorer.models import build_model
from vae_explorer.random_streams import RandomStream
from vae_explorer.training.batches import Noise, horizontal_flip
from vae_explorer.training.distributed import Processes
from vae_explorer.training.state import EpochMetrics, load_state
from vae_explorer.training.trainer import VaeTrainer, train

Task = dict[str, JsonValue]
STEPS_PER_EPOCH = 9
ODD: Task = {"batch_size": 37, "mirror": True, "epochs": 1}
ADVERSARIAL: Task = {"adversarial_weight": 5.0, "adversarial_start": 0.0}
ROUNDING = 1e-5
"""By so much, relative, a sum in float32 may differ when it is taken in another order."""

# Does tasks one after another in each process; says of each how it ended.
WORKER = """
import json, sys
from pathlib import Path
import torch
from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.data import load_dataset
from vae_explorer.errors import TrainingError
from vae_explorer.training.distributed import create_accelerator
from vae_explorer.training.trainer import VaeTrainer, train
from safetensors.torch import save_file

torch.set_num_threads(1)
root, tasks = Path(sys.argv[1]), json.loads(sys.argv[2])
digits, rank = load_dataset("digits", root), create_accelerator().process_index
for task in tasks:
    model, config = ModelConfig.from_dict(task["model"]), TrainConfig.from_dict(task["train"])
    run, steps = Path(task["run"]), [0]
    def should_stop():  # only the second process is ever asked to
        steps[0] += 1
        return rank == 1 and steps[0] == task.get("stop")
    try:
        if task.get("gradient"):
            trainer = VaeTrainer(model, config, digits, run)
            next(trainer.steps_of_epoch())
            run.mkdir(parents=True, exist_ok=True)
            networks = [trainer.model, *filter(None, [trainer.perceptual.discriminator])]
            for index, network in enumerate(networks):
                gradients = {n: p.grad.contiguous() for n, p in network.named_parameters()}
                save_file(gradients, run / f"{index}-{rank}.safetensors")
        else:
            resume = task.get("resume", False)
            list(train(model, config, digits, run, resume=resume, should_stop=should_stop))
        print(json.dumps("done"))
    except TrainingError as error:
        print(json.dumps(str(error)))
"""


@pytest.fixture(scope="module")
def outcomes(
    tmp_path_factory: pytest.TempPathFactory,
    data_root: Path,
    digits: ImageDataset,
    tiny_vae_config: ModelConfig,
    tiny_train_config: TrainConfig,
) -> dict[str, tuple[Path, list[str]]]:
    """Of every task its run's folder, and how it ended in each of two processes."""
    folder = tmp_path_factory.mktemp("two")
    half_way = folder / "one and two"
    countdown = iter(range(STEPS_PER_EPOCH + 3, -1, -1))
    model, config = tiny_vae_config, tiny_train_config
    list(train(model, config, digits, half_way, should_stop=lambda: next(countdown) == 0))

    def task(name: str, model: ModelConfig = model, **changes: JsonValue) -> Task:
        values = replace(config, **changes).to_dict()
        return {"run": str(folder / name), "model": model.to_dict(), "train": values}

    tasks = {
        "even": task("even"),
        "odd gradient": task("odd gradient", **ODD) | {"gradient": True},
        "odd": task("odd", **ODD),
        "discriminator": task("discriminator", **ODD, **ADVERSARIAL) | {"gradient": True},
        "global": task("global", **ODD, **ADVERSARIAL, discriminator="global"),
        "unmoved": task("unmoved", replace(model, normalization="batch"), learning_rate=1e-30),
        "stopped": task("stopped") | {"stop": 13},
        "one and two": task("one and two") | {"resume": True},
        "diverging": task("one and two", learning_rate=1e6, epochs=4) | {"resume": True},
        "few": task("few", batch_size=1),
    }
    listed = list(tasks.values())
    results = finish(start_processes(["-c", WORKER, str(data_root), json.dumps(listed)]))
    said = [[json.loads(line) for line in out.splitlines()] for out, _ in results]
    assert [len(lines) for lines in said] == [len(tasks)] * 2, results
    return {
        name: (Path(cast(str, values["run"])), [lines[index] for lines in said])
        for index, (name, values) in enumerate(tasks.items())
    }


def history_of(run: Path) -> np.ndarray:
    """All numbers of a run's history but the time, (epochs, 8)."""
    rows = [asdict(metrics) for metrics in load_state(run).history]
    return np.array([[v for k, v in row.items() if k != "seconds"] for row in rows])


@pytest.fixture
def train_alone(
    tmp_path: Path,
    digits: ImageDataset,
    tiny_vae_config: ModelConfig,
    tiny_train_config: TrainConfig,
) -> Callable[..., np.ndarray]:
    """Train in this process alone; return the run's history."""

    def train_to(model: ModelConfig = tiny_vae_config, **changes: JsonValue) -> np.ndarray:
        config = replace(tiny_train_config, **changes)
        list(train(model, config, digits, tmp_path / "run"))
        return history_of(tmp_path / "run")

    return train_to


Outcomes = dict[str, tuple[Path, list[str]]]


def test_two_processes_lose_what_one_does(outcomes: Outcomes, trained_run: Path) -> None:
    run, ends = outcomes["even"]
    assert ends == ["done", "done"]
    np.testing.assert_allclose(history_of(run), history_of(trained_run), rtol=ROUNDING)


def test_the_held_out_numbers_are_the_same(
    outcomes: Outcomes, trained_run: Path, digits: ImageDataset, tiny_vae_config: ModelConfig
) -> None:
    model = build_model(tiny_vae_config).eval()
    found = []
    for run in (outcomes["even"][0], trained_run):
        model.load_state_dict(load_state(run).best)
        metrics = evaluate(model, digits).metrics
        found.append([metrics[name].value for name in ("negative_elbo", "kl", "psnr")])
    np.testing.assert_allclose(*found, rtol=ROUNDING)


def test_shards_of_different_sizes_count_by_their_size(
    outcomes: Outcomes, train_alone: Callable[..., np.ndarray]
) -> None:
    expected = train_alone(batch_size=37, mirror=True, epochs=1)
    np.testing.assert_allclose(history_of(outcomes["odd"][0]), expected, rtol=ROUNDING)


@pytest.mark.parametrize("name", ["odd gradient", "discriminator"])
def test_the_gradient_is_the_mean_over_the_whole_batch(
    tmp_path: Path,
    outcomes: Outcomes,
    digits: ImageDataset,
    tiny_vae_config: ModelConfig,
    tiny_train_config: TrainConfig,
    name: str,
) -> None:
    changes = ODD | (ADVERSARIAL if name == "discriminator" else {})
    alone = VaeTrainer(tiny_vae_config, replace(tiny_train_config, **changes), digits, tmp_path)
    next(alone.steps_of_epoch())
    networks = [alone.model, *filter(None, [alone.perceptual.discriminator])]
    assert len(networks) == (2 if name == "discriminator" else 1)
    for index, network in enumerate(networks):
        files = [outcomes[name][0] / f"{index}-{rank}.safetensors" for rank in (0, 1)]
        ours, theirs = map(load_file, files)
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
        scale = max(float(each.abs().max()) for each in ours.values())
        for key, parameter in network.named_parameters():
            gradient = ours[key]
            assert parameter.grad is not None
            torch.testing.assert_close(gradient, parameter.grad, rtol=0, atol=ROUNDING * scale)


def test_a_global_discriminator_trains_in_both_processes(outcomes: Outcomes) -> None:
    run, ends = outcomes["global"]
    assert ends == ["done", "done"]
    assert load_state(run).perceptual


def test_the_same_weights_are_evaluated_the_same_bit_for_bit(
    outcomes: Outcomes, tiny_vae_config: ModelConfig, train_alone: Callable[..., np.ndarray]
) -> None:
    # At so low a rate no weight moves; the statistics of batch normalization are computed again.
    model = replace(tiny_vae_config, normalization="batch")
    expected = train_alone(model, learning_rate=1e-30)
    names = [name for name in EpochMetrics.__dataclass_fields__ if name != "seconds"]
    columns = [index for index, name in enumerate(names) if name.startswith("validation")]
    assert len(columns) == 3
    found = history_of(outcomes["unmoved"][0])
    assert np.array_equal(found[:, columns], expected[:, columns])


def test_a_stop_of_one_process_stops_both_and_one_goes_on_where_they_were(
    tmp_path: Path,
    outcomes: Outcomes,
    digits: ImageDataset,
    tiny_vae_config: ModelConfig,
    tiny_train_config: TrainConfig,
    trained_run: Path,
) -> None:
    run, ends = outcomes["stopped"]
    assert ends == ["done", "done"]
    run = shutil.copytree(run, tmp_path / "run")
    state = load_state(run)
    assert (state.step, len(state.history)) == (13, 1)
    list(train(tiny_vae_config, tiny_train_config, digits, run, resume=True))
    np.testing.assert_allclose(history_of(run), history_of(trained_run), rtol=ROUNDING)


def test_two_processes_go_on_where_one_was(outcomes: Outcomes, trained_run: Path) -> None:
    run, ends = outcomes["one and two"]
    assert ends == ["done", "done"]
    np.testing.assert_allclose(history_of(run), history_of(trained_run), rtol=ROUNDING)


def test_a_loss_that_is_not_a_number_ends_both_and_keeps_the_state(outcomes: Outcomes) -> None:
    run, ends = outcomes["diverging"]
    assert ends[0] == ends[1]
    assert "NaN or infinite in epoch 4" in ends[0]
    assert len(load_state(run).history) == 3


def test_more_processes_than_pictures_in_a_batch_are_refused(outcomes: Outcomes) -> None:
    _, ends = outcomes["few"]
    assert all("batch of 1 images cannot be divided among 2" in end for end in ends)


# What a process takes


class _Nth(Accelerator):
    """Stands for one of several processes; nothing is sent."""

    def __init__(self, index: int, count: int) -> None:
        self.place = (index, count)

    process_index = property(lambda self: self.place[0])
    num_processes = property(lambda self: self.place[1])


@pytest.mark.parametrize(("batch", "count"), [(128, 1), (128, 2), (37, 2), (10, 4), (5, 5)])
def test_shards_split_a_batch_and_their_weights_are_its_mean(batch: int, count: int) -> None:
    values = np.random.default_rng(0).random(batch)
    each = [Processes(_Nth(index, count), batch) for index in range(count)]
    assert sorted(np.concatenate([values[one.shard] for one in each])) == sorted(values)
    means = [one.weight * values[one.shard].mean() for one in each]
    assert np.mean(means) == pytest.approx(values.mean(), rel=1e-12)
    with pytest.raises(TrainingError, match="cannot be divided"):
        Processes(_Nth(0, batch + 1), batch)


def test_all_processes_together_flip_what_one_does() -> None:
    images = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = horizontal_flip(images, 0, 3, 7)
    assert not torch.equal(whole, images)
    for shard in (slice(0, None, 2), slice(1, None, 2)):
        assert torch.equal(horizontal_flip(images[shard], 0, 3, 7, shard), whole[shard])


def test_the_noise_is_what_a_model_draws_from_the_generator(tiny_vae_config: ModelConfig) -> None:
    # So the weights of trainings from before noise was handed over come out the same.
    noise = Noise(4, tiny_vae_config.latent_dim, torch.device("cpu"))
    model = build_model(tiny_vae_config).eval()
    images = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    step = RandomStream.TRAINING_NOISE
    drawn = model(images, noise.stream(step, 1, 0)).logits
    assert torch.equal(model(images, noise.draw(7, noise.stream(step, 1, 0))).logits, drawn)
    assert not torch.equal(model(images, noise.draw(7, noise.stream(step, 2, 0))).logits, drawn)


# The command


def test_ctrl_c_at_one_process_stops_both_and_only_one_speaks(
    training_folder: Path, data_root: Path
) -> None:
    command = ["-m", "vae_explorer", "train", "--config", "small.json", "--out", "checkpoints/two"]
    processes = start_processes([*command, "--root", str(data_root)])
    out = processes[0].stdout
    assert out is not None
    assert any(line.startswith("epoch   1/40") for line in out)
    os.kill(processes[1].pid, signal.SIGINT)
    (said, _), (silence, faults) = finish(processes)
    assert "Stopped and saved." in said
    assert (silence, faults) == ("", "")
    assert [process.returncode for process in processes] == [130, 0]
    assert 1 <= len(load_state(Path("runs/two")).history) < 40

    again = ["--resume", "--out", "checkpoints/two", "--root", str(data_root)]
    assert main(["train", *again]) == 0
    assert len(load_state(Path("runs/two")).history) == 40
    assert Path("checkpoints/two/card.json").is_file()
