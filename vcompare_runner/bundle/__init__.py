# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The bundle of a run: schema, reading, integrity, and several runs as one."""
