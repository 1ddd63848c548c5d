"""Kill a training at random moments, and see whether it goes on each time.

    python benchmarks/kills.py [--kills 20] [--seed 0]

Each time: `kill -9` at a random moment, then the run's status, what is listed as a checkpoint, and
a resume. Of three kills, one falls while the process prepares or has just begun, one anywhere among
the epochs, and one while the model is measured and published. At last the weights are compared,
bit for bit, with those of a run that nobody killed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from vae_explorer.checkpoints import list_checkpoints
from vae_explorer.config import ModelConfig
from vae_explorer.data import load_dataset
from vae_explorer.runs.launcher import resume_training, start_training
from vae_explorer.runs.run import Run, list_runs
from vae_explorer.runs.status import RunStatus

EPOCHS = 30
MODEL = ModelConfig(image_size=8, image_channels=1, latent_dim=2, channels=(8, 16))
LOOK = 0.005  # seconds


def main() -> None:
    """Kill, look, resume; print a row each time."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        _prepare()
        print("kill  while       after     epochs  said          listed   went on")
        good: list[bool] = []
        while len(good) < options.kills:
            goes_on = _kill_once(len(good) + 1, chance)
            if goes_on is not None:
                good.append(goes_on)
        print(f"{sum(good)} of {options.kills} went on, with nothing broken listed.")
        _compare()
        os.chdir("/")


def _prepare() -> None:
    load_dataset("digits", Path("data"))
    values = {"model": MODEL.to_dict(), "train": {"dataset": "digits", "epochs": EPOCHS}}
    Path("small.json").write_text(json.dumps(values), encoding="utf-8")


def _start(name: str, *more: str) -> None:
    options = ["--config", "small.json", "--precision", "float32", "--keep-epochs"]
    start_training([*options, "--out", f"checkpoints/{name}", *more])


def _status(name: str) -> RunStatus:
    status = Run.named(name).read_status()
    assert status is not None
    return status


def _trains() -> bool:
    return _status("killed").phase in ("preparing", "training")


def _kill() -> None:
    status = _status("killed")
    if status.is_alive:
        os.kill(status.pid, signal.SIGKILL)
    while _status("killed").is_alive:
        time.sleep(LOOK)


def _kill_once(number: int, chance: random.Random) -> bool | None:
    """Kill the run `killed`, or a fresh one where it is finished, and resume it.

    None if it was finished before, which is no kill.
    """
    runs = {run.name: run for run in list_runs()}
    if "killed" not in runs:
        _start("killed")
    elif runs["killed"].phase in ("finished", "evaluating"):
        _kill()
        _start("killed", "--replace", "--restart")
    aim = number % 3
    epochs = chance.randrange(1, EPOCHS) if aim == 2 else 0
    while epochs > len(Run.named("killed").read_history()) or (aim == 0 and _trains()):
        time.sleep(LOOK)
    wait = chance.uniform(0, 4 if aim == 1 else 0.3)
    time.sleep(wait)
    status = _status("killed")
    _kill()
    if (after := _status("killed")).phase == "finished":
        return None
    before = len(Run.named("killed").read_history())
    cards, broken = list_checkpoints(Path("checkpoints"))
    listed = f"{len(cards)} good" + (f", {len(broken)} BROKEN" if broken else "")
    resume_training("killed")
    while True:
        now = _status("killed")
        goes_on = now.phase not in ("failed", "interrupted", "paused")
        if not goes_on or now.phase in ("evaluating", "finished"):
            break
        if len(Run.named("killed").read_history()) > before:
            break
        time.sleep(LOOK)
    print(
        f"{number:4}  {status.phase:10}  {wait:4.1f} s  {before:8}  {after.phase:12}  "
        f"{listed:7}  {'yes' if goes_on else 'NO: ' + now.message}",
        flush=True,
    )
    return goes_on and not broken


def _compare() -> None:
    if _status("killed").phase == "interrupted":
        resume_training("killed")
    while _status("killed").is_alive:
        time.sleep(0.1)
    _start("through")
    while _status("through").is_alive:
        time.sleep(0.1)
    weights = [
        Path("checkpoints", name, "model.safetensors").read_bytes()
        for name in ("killed", "through")
    ]
    same = "the same" if weights[0] == weights[1] else "DIFFERENT"
    print(f"The weights are {same}, bit for bit, as of a run that nobody killed.")


if __name__ == "__main__":
    main()
