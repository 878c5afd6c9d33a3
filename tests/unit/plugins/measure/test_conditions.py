# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What else the host did is read from the kernel's own counters."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._host import conditions

STAT = "cpu  100 20 30 1000 40 5 6 70 8 9\ncpu0 1 2 3\nintr 5\n"
VMSTAT = "nr_free_pages 5\npswpin 3\npswpout 4\npgpgin 9\n"
PRESSURE = {
    "cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 total=99\n",
    "io": "",
}


def test_known_answer() -> None:
    found = conditions.parse(STAT, VMSTAT, PRESSURE, 100)
    assert found == conditions.Conditions(1.61, 0.7, 7, {"cpu": 2.5})


def test_a_kernel_that_counts_nothing() -> None:
    """What is not counted is missing: it is not a zero."""
    found = conditions.parse("", "", {}, 100)
    assert found == conditions.Conditions(None, None, None, {})
    record = found.since(found).record(2.0)
    assert record["pressure_s"] == {"cpu": None, "io": None, "memory": None}
    assert [record[key] for key in ("busy_s", "steal_s", "swapped_pages")] == [None] * 3
    assert record["wall_s"] == 2.0


def test_record() -> None:
    spent = conditions.Conditions(1.39, 0.3, 2, {"cpu": 0.5}).record(4.0)
    assert spent.pop("cpus") == os.cpu_count()
    assert spent == {
        "wall_s": 4.0,
        "busy_s": 1.39,
        "steal_s": 0.3,
        "swapped_pages": 2,
        "pressure_s": {"cpu": 0.5, "io": None, "memory": None},
    }


def test_difference() -> None:
    later = conditions.Conditions(3.0, 1.0, 9, {"cpu": 3.0, "io": 1.0})
    earlier = conditions.parse(STAT, VMSTAT, PRESSURE, 100)
    assert later.since(earlier) == conditions.Conditions(1.39, 0.3, 2, {"cpu": 0.5})


def test_this_host_counts() -> None:
    before = conditions.now()
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        pass
    spent = conditions.now().since(before).busy_s
    assert spent is not None
    assert spent > 0.1


def test_load_from_elsewhere_is_seen() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            quiet = conditions.wait_quiet(0.6)
            assert quiet is not None
            assert quiet > conditions.QUIET_CPUS
        finally:
            busy.kill()


def test_a_quiet_host_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    still = conditions.Conditions(1.0, 0.0, 0, {})
    monkeypatch.setattr(conditions, "now", lambda: still)
    began = time.monotonic()
    assert conditions.wait_quiet(30) == 0.0
    assert time.monotonic() - began < 5
