# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""``python -m vcompare_runner``: the same as the ``vcompare`` command."""

from __future__ import annotations

from vcompare_runner.cli.app import main

if __name__ == "__main__":
    main()
