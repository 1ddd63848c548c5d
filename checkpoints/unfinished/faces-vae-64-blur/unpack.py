"""Lay out a run from these weights, to continue it: `python unpack.py runs/faces-vae-64-blur`.

The EMA weights become the weights under training, and Adam starts anew: its state is not stored.
"""

import sys
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

run = Path(sys.argv[1])
if (run / "state.safetensors").exists():
    sys.exit(f"{run} holds a run already. Choose another folder.")
state = {}
with safe_open(Path(__file__).with_name("weights.safetensors"), "pt") as file:
    about = file.metadata()
    for key in file.keys():  # noqa: SIM118 - the file is no mapping
        tensor = file.get_tensor(key)
        tensor = tensor.float() if tensor.is_floating_point() else tensor
        state[key] = tensor
        if key.startswith("average/module."):
            name = key.removeprefix("average/module.")
            state[f"weights/{name}"], state[f"best/{name}"] = tensor.clone(), tensor.clone()
run.mkdir(parents=True, exist_ok=True)
save_file(state, run / "state.safetensors", metadata={"state": about["state"]})
(run / "config.json").write_text(about["config"], encoding="utf-8")
print(f"Continue: python -m vae_explorer train --resume --out checkpoints/{run.name}")
