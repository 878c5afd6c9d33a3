# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Claims: statements that a run can confirm or refute, and the verdicts on them.

================== =================================================================
``catalogue.yml``  the claims that are shipped (a link to the role's file: one place)
``bands.yml``      published figures that results are held against
``schema.py``      what a file of claims may say
``declared.py``    the claims that a run declared before it began
``court.py``       what a test finds in a bundle, and what the gates say of it
``comparisons.py`` one test: what its blocks say against its margin
``judge.py``       from tests to verdicts
``sentences.py``   the verdicts in words, and what would settle an open one
``bands.py``       results against published figures
================== =================================================================
"""
