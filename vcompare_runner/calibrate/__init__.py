# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Does the report fool its reader? ``vcompare calibrate`` measures it on noise with a known truth.

================= ======================================================================
``cases.py``      kinds of noise, each with a true ratio of 1
``study.py``      coverage of intervals, wrong verdicts of whole reports, power
``stopping.py``   the same where runs stop when they have enough
``disk.py``       the same noise through real bundle files
``procedures.py`` other intervals, measured beside the one in use
``real.py``       a real run: bare against itself
``planted.py``    a real run with effects of known size
``command.py``    the command; ``show.py`` its tables, ``progress.py`` what it is at
================= ======================================================================
"""
