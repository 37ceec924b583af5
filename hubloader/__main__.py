"""``python -m hubloader``: the command line."""

from __future__ import annotations

from hubloader.cli.main import main

if __name__ == "__main__":
    main()
