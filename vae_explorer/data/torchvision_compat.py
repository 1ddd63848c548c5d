"""Import torchvision, also where its compiled operators cannot be loaded."""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType

import torch


@cache
def import_torchvision() -> ModuleType:
    """Import torchvision beside any torch.

    The default torchvision wheel wants the CUDA libraries. Beside a CPU-only torch its compiled
    operators stay unloaded, and the import stops at registering a shape rule for one of them
    (``operator torchvision::nms does not exist``). Declaring the two operators is enough: data
    sets, transforms and models never call them.

    Returns
    -------
    ModuleType
        The package ``torchvision``, with ``torchvision.datasets`` imported.

    Raises
    ------
    ImportError
        If torchvision is not installed.
    RuntimeError
        If its import fails for another reason than the missing operators.
    """
    try:
        torchvision = importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _declare_operators()
        torchvision = importlib.import_module("torchvision")
    importlib.import_module("torchvision.datasets")
    return torchvision


@cache
def _declare_operators() -> torch.library.Library:
    # The cache keeps the library alive: once collected, its operators are gone.
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library
