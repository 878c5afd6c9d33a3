# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""From samples to figures: gates, statistics, the stopping rule."""
