# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of runs, and how a moment is written."""

from __future__ import annotations

import datetime
import re
import secrets

# UTC time and six random hexadecimal digits: ids sort by time.
RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
# How the name of everything that is ours on a host begins.
NAME_PREFIX = "vc-"


def new_run_id(now: datetime.datetime | None = None) -> str:
    """Return a name for a run that no other run has."""
    moment = now or datetime.datetime.now(datetime.UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def utc_now() -> str:
    """Return the time of day in UTC, to the second (ISO 8601)."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def instance_name(run: str, block: int, arm: str) -> str:
    """The name of the instance of an arm; unique to the run and the block."""
    tag = "".join(c for c in run.rpartition("-")[2].lower() if c.isascii() and c.isalnum())
    return f"{NAME_PREFIX}{tag[-8:] or 'run'}-{block}-{arm}"
