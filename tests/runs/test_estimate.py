"""How long a training will take: what is counted, and what is measured."""

from __future__ import annotations

import time
from dataclasses import asdict, replace

import pytest

from vae_explorer.config import ModelConfig, TrainConfig
from vae_explorer.errors import MeasuringError
from vae_explorer.models import build_model, count_parameters
from vae_explorer.presets import PRESETS
from vae_explorer.runs import estimate as estimate_module
from vae_explorer.runs.estimate import (
    Measured,
    Measurer,
    Pace,
    estimate,
    fitting_work,
    measure,
    what_is_measured,
)

PACE = Pace(start=5, step=0.1, judged=1e-3, encoded=1e-4, evaluated=2e-3, prior=1e-6, embedded=1e-2)
COUNTS = {"train": 6_000, "test": 1_000}
CONFIG = TrainConfig(dataset="mnist", epochs=10)
TINY = ModelConfig(image_size=8, image_channels=1, latent_dim=2, channels=(4,))


@pytest.mark.parametrize("model", PRESETS.values(), ids=PRESETS)
def test_parameters_are_those_of_the_model(model: ModelConfig):
    found, built = estimate(model, CONFIG, COUNTS, PACE), build_model(model)
    assert found.encoder_parameters == count_parameters(built.encoder)
    assert found.decoder_parameters == count_parameters(built.decoder)


def test_time_is_proportional_to_the_epochs_and_evaluation_is_counted_once():
    short = estimate(TINY, CONFIG, COUNTS, PACE)
    long = estimate(TINY, replace(CONFIG, epochs=30), COUNTS, PACE)
    assert long.seconds - short.seconds == pytest.approx(20 * short.seconds_per_epoch)
    assert long.evaluation_seconds == short.evaluation_seconds > 0
    rest = short.seconds - 10 * short.seconds_per_epoch - short.evaluation_seconds
    assert rest == pytest.approx(PACE.start)


def test_an_epoch_is_its_steps_and_what_is_judged_after_them():
    found = estimate(TINY, CONFIG, COUNTS, PACE)
    assert found.images == 5_700
    assert found.seconds_per_epoch == pytest.approx(5_700 // 128 * 0.1 + 300 * 1e-3)
    keeping = estimate(TINY, replace(CONFIG, keep_epochs=True), COUNTS, PACE)
    assert keeping.seconds_per_epoch - found.seconds_per_epoch == pytest.approx(1_000 * 1e-3)


@pytest.mark.parametrize("counts", [{"train": 20, "test": 2}, {"train": 50_000, "val": 6_000}])
def test_more_pictures_take_longer(counts: dict[str, int]):
    more = {split: 2 * count for split, count in counts.items()}
    few, many = (estimate(TINY, CONFIG, each, PACE) for each in (counts, more))
    assert 0 < few.seconds_per_epoch < many.seconds_per_epoch
    assert 0 < few.evaluation_seconds < many.evaluation_seconds
    assert many.images == pytest.approx(2 * few.images, abs=1)


@pytest.mark.parametrize("latent_dim", [2, 20, 128])
def test_the_work_of_the_prior_grows_with_the_rows(latent_dim: int):
    work = [fitting_work(rows, latent_dim) for rows in (10, 300, 5_000, 60_000, 600_000)]
    assert work == sorted(set(work))


def test_what_is_measured_is_positive_and_made_of_the_models_own_steps():
    config = replace(CONFIG, batch_size=16, keep_epochs=True)
    found = asdict(measure(TINY, config, start=3))
    assert found.pop("start") > 3
    assert found.pop("embedded") >= 0
    assert all(seconds > 0 for seconds in found.values())


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"epochs": 3, "seed": 9, "beta": 4.0, "patience": 2, "learning_rate": 0.1}, True),
        ({"batch_size": 64}, False),
        ({"mirror": True}, False),
        ({"precision": "float32"}, False),
    ],
)
def test_only_what_changes_the_pace_is_measured_again(change: dict[str, object], same: bool):
    first = what_is_measured(TINY, CONFIG, COUNTS)
    assert (what_is_measured(TINY, replace(CONFIG, **change), COUNTS) == first) == same
    assert what_is_measured(replace(TINY, latent_dim=3), CONFIG, COUNTS) != first
    assert what_is_measured(TINY, CONFIG, {"train": 30}).config.batch_size == 30


def wait_for(measurer: Measurer, wanted: Measured) -> Pace:
    until = time.monotonic() + 300
    while time.monotonic() < until:
        if found := measurer.ask(wanted):
            return found
        time.sleep(0.05)
    raise TimeoutError


def test_another_process_measures_while_this_one_goes_on():
    wanted = what_is_measured(TINY, replace(CONFIG, batch_size=16), COUNTS)
    measurer = Measurer()
    assert measurer.ask(wanted) is None
    found = wait_for(measurer, wanted)
    assert found.step > 0
    assert measurer.ask(wanted) is found


def test_a_measurement_that_is_cancelled_ends_and_the_next_one_begins(monkeypatch):
    first, second = (what_is_measured(TINY, CONFIG, {"train": n}) for n in (30, 40))
    measurer = Measurer()
    started: list[Idle] = []

    def start(*_: object, **__: object) -> Idle:
        started.append(Idle())
        return started[-1]

    monkeypatch.setattr(estimate_module.subprocess, "Popen", start)
    monkeypatch.delattr(estimate_module.os, "setpriority", raising=False)
    assert measurer.ask(first) is None
    assert measurer.ask(second) is None
    assert len(started) == 1  # one at a time
    measurer.cancel(second)
    assert not started[0].killed  # that was not it
    measurer.cancel(first)
    assert started[0].killed
    assert measurer.ask(second) is None
    assert len(started) == 2


def test_what_cannot_be_measured_says_why():
    broken = what_is_measured(TINY, replace(CONFIG, feature_network="none"), COUNTS)
    config = replace(broken.config, feature_weight=1.0)
    with pytest.raises(MeasuringError, match=r"cannot be measured: .*none"):
        wait_for(Measurer(), broken._replace(config=config))


class Idle:
    """A process that does nothing until it is killed."""

    pid = 0

    def __init__(self) -> None:
        self.killed = False

    def poll(self) -> None:
        return None

    def kill(self) -> None:
        self.killed = True

    def communicate(self) -> None:
        assert self.killed
