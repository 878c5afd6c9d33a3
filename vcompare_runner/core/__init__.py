# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""What all parts share: errors, reading of files and numbers, words of the report."""
