"""Imports at the start of the server, so that no visit imports anything.

Sessions are threads. A module that one of them is importing is seen half initialised by the others:
where imports form a circle, and in `sys.modules`, where Streamlit, Plotly and Narwhals look for
pandas and its like. Visitors of the first second would get the traceback.
"""

from __future__ import annotations

import gc
import importlib
import pkgutil
from contextlib import suppress

from PIL import Image

# Imported late by our own functions (for the sake of the command line), by Streamlit, or by Plotly.
_MODULES = (
    "_strptime",
    "narwhals._interchange.dataframe",
    "packaging.tags",
    "packaging.utils",
    "pandas",
    "plotly.animation",
    "plotly.files",
    "plotly.graph_objs._deprecations",
    "plotly.io._json",
    "plotly.io._utils",
    "plotly.offline",
    "plotly.tools",
    "pyarrow.compute",
    "pyarrow.pandas_compat",
    "pyarrow.vendored.version",
    "scipy.ndimage",
    "sklearn.metrics",
    "sklearn.mixture",
    "sklearn.neighbors",
    "streamlit.components.v2.manifest_scanner",
    "streamlit.emojis",
    "streamlit.material_icon_names",
    "streamlit.runtime.scriptrunner.magic_funcs",
    "torch._dynamo",  # by the first optimiser, as is the profiler's
    "torch.profiler._cupti_monitor",
    "torch.utils._device",
    "zoneinfo",
)
_PACKAGES = (
    "vae_explorer.ui",
    # One module for each property that a figure sets.
    *(f"plotly.graph_objs.{kind}" for kind in ("layout", "bar", "heatmap", "scatter", "scattergl")),
)


def import_for_sessions() -> None:
    """Import all that pages use. Call it before the server takes its first visitor."""
    for name in _MODULES:
        with suppress(ModuleNotFoundError):  # internals of a library may go with its next version
            importlib.import_module(name)
    for name in _PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)
    Image.init()  # the formats that Pillow reads
    # Streamlit collects garbage after each run of a script, and would look through all of this
    # again: a third of a second in which nothing else runs.
    gc.collect()
    gc.freeze()
