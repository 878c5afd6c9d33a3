# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is read from systemd's answers."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._engines import docker_service


def test_flags_of_the_unit_without_what_only_systemd_knows() -> None:
    exec_start = (
        "{ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// --containerd=/c.sock"
        " $DOCKER_OPTS ; ignore_errors=no ; pid=0 }"
    )
    assert docker_service._flags("0", exec_start) == ("-H", "fd://", "--containerd=/c.sock")


def test_evidence_is_the_end_of_the_journal(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "journalctl"
    # As the real one: with --since, --lines gives the first lines.
    program.write_text(
        '#!/bin/sh\ncase "$*" in *--lines*) head="head -n 15";; *) head=cat;; esac\n'
        "{ seq 40; echo level=debug; echo reason; echo level=debug; } | $head\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    lines = docker_service.Service(5).journal(0).splitlines()
    assert lines == [*map(str, range(27, 41)), "reason"]
