# vcompare: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Where tests find programs that are not installed, and which tests may be skipped in CI."""

from __future__ import annotations

import os
import re
import typing as t
from pathlib import Path

import hypothesis
import pytest

# No test fails because a machine was slow.
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")

# What tools/unpack.sh has unpacked. Last, so that the machine's own program is found first.
UNPACKED = Path(__file__).resolve().parents[2] / ".cache/debian"
os.environ["PATH"] += f"{os.pathsep}{UNPACKED / 'bin'}"

# What a machine's kernel or hardware can't do, and no package changes. Whatever else a test needs,
# `make test` installs: with CI=true in the environment, a skip for another reason is a failure.
UNAVOIDABLE = re.compile(
    "|".join(
        (
            "CPUID is x86's",
            "needs two processors",
            "this machine has no loop devices",
            "this kernel can't mount",
            "this machine mounts no overlay",
            "the folder of this test is on no block device",
            # libmemcached's tools are not unpacked yet: from there, the workload did not end within a minute.
            "(memcping|memcaslap) is not installed",
            # A part of the init system, which is not exchanged for a test.
            "systemd-detect-virt is not on this machine",
        )
    )
)


@pytest.fixture
def unpacked() -> Path:
    """The folder of tools/unpack.sh, with a kernel in boot/; it need not exist."""
    return UNPACKED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> t.Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    return _judged(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> t.Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A whole file that is skipped."""
    report = yield
    return _judged(report)


Report = t.TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def _judged(report: Report) -> Report:
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not UNAVOIDABLE.search(reason):
            report.outcome = "failed"
            report.longrepr = f"{reason} (in CI, no test is skipped for what can be installed)"
    return report
