# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Around ansible-runner: what a playbook is asked for, its progress, its interruption, its end."""
