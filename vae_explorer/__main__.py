"""``python -m vae_explorer``: the command line of `vae_explorer.cli`."""

import sys

from vae_explorer.cli import main

if __name__ == "__main__":
    sys.exit(main())
