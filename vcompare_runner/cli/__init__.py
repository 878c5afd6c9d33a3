# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The command `vcompare`."""
