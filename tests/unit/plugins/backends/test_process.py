# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tools of the host: what their failure says."""

from __future__ import annotations

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._core.process import host_run

XL = (
    r"printf 'got a tsc mode string: \"native\"\nlibxl: error: Timeout waiting for hotplug scripts\n' >&2;"
    " exit 3"
)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (XL, "Timeout waiting for hotplug scripts"),
        ("echo no such thing >&2; exit 1", "no such thing"),
        ("echo on the other stream; exit 1", "on the other stream"),
        ("exit 1", "it said nothing"),
    ],
)
def test_a_failure_says_what_went_wrong_and_keeps_the_rest(script: str, reason: str) -> None:
    with pytest.raises(BackendError) as caught:
        host_run(["sh", "-c", script], 30, "trying")
    assert caught.value.message.startswith("trying: sh -c")
    assert caught.value.message.endswith(reason)


def test_all_that_a_tool_said_is_evidence() -> None:
    with pytest.raises(BackendError) as caught:
        host_run(["sh", "-c", XL], 30, "trying")
    assert "tsc mode" in caught.value.evidence
