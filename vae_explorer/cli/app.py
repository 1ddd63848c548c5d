"""The app itself, which opens where no command is named."""

from __future__ import annotations

import argparse
import runpy
import sys

from vae_explorer.installation import APP, IS_INSTALLED


def run_app(args: argparse.Namespace) -> int:
    """Serve the app in this process as `streamlit run` does, until it is ended.

    Streamlit reads the settings in the folder `.streamlit` beside `app.py` by itself.
    """
    options = list(args.streamlit)
    if args.port is not None:
        options.insert(0, f"--server.port={args.port}")
    if IS_INSTALLED:  # installed sources are not edited
        options.insert(0, "--server.fileWatcherType=none")
    sys.argv = ["streamlit", "run", str(APP / "app.py"), *options]
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)
    return 0
