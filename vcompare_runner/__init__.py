# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Comfort around the playbooks of ``vcompare.lab``: progress, bundles, statistics and reports.

The playbooks are complete without this package; nothing in a module imports it.
"""

from __future__ import annotations

__version__ = "0.1.0"
