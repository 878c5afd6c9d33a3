# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""From samples to ratios with intervals, p-values, flags and power.

================ ===========================================================
``figures.py``   samples → block values → paired log ratios, per arm
``inference.py`` interval and p-values of their median, Holm's correction
``order.py``     the order statistics behind these, for many samples at once
``flags.py``     trends, outliers, correlation within a series
``remarks.py``   these flags for every arm and scenario of a run
``power.py``     what so many blocks can find, and how many are needed
``bootstrap.py`` the bootstrap that the interval is measured against
================ ===========================================================
"""

from vcompare_runner.analysis.statistics.bootstrap import bootstrap_interval
from vcompare_runner.analysis.statistics.figures import (
    ArmFigures,
    Comparison,
    ScenarioFigures,
    analyse,
    block_iterations,
    block_values,
    choose_baseline,
    compare,
)
from vcompare_runner.analysis.statistics.flags import (
    Trend,
    lag_correlation,
    outliers,
    trend,
    trend_within,
)
from vcompare_runner.analysis.statistics.inference import (
    LEVEL,
    MIN_PAIRS,
    Interval,
    attainable_coverage,
    holm,
    median_interval,
    p_above,
    p_below,
    p_either,
    p_equivalent,
    smallest_free_p,
)
from vcompare_runner.analysis.statistics.power import blocks_needed, detection_power
from vcompare_runner.analysis.statistics.remarks import Remark, find_remarks

__all__ = [
    "LEVEL",
    "MIN_PAIRS",
    "ArmFigures",
    "Comparison",
    "Interval",
    "Remark",
    "ScenarioFigures",
    "Trend",
    "analyse",
    "attainable_coverage",
    "block_iterations",
    "block_values",
    "blocks_needed",
    "bootstrap_interval",
    "choose_baseline",
    "compare",
    "detection_power",
    "find_remarks",
    "holm",
    "lag_correlation",
    "median_interval",
    "outliers",
    "p_above",
    "p_below",
    "p_either",
    "p_equivalent",
    "smallest_free_p",
    "trend",
    "trend_within",
]
