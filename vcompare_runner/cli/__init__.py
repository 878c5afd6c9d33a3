# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The command `vcompare`."""

from __future__ import annotations


def main() -> None:
    """Run it."""
    # What only looks at this package needs no command line.
    from vcompare_runner.cli.app import main as run

    run()
