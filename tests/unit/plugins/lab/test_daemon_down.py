# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lab whose libvirt does not answer may have its own addresses; one that is not there may not find them taken."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._lab import server
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import Lab
from ansible_collections.vcompare.lab.plugins.module_utils._lab.nodes import NestedLab, Settings


def test_its_own_addresses_are_not_in_its_way(tmp_path: Path) -> None:
    lab = NestedLab(Lab(str(tmp_path), "default"), "qemu+unix:///system?socket=/nowhere/at-all")
    settings = Settings("tcg", "", "", vcpus=1, memory_mib=1, boot_timeout_s=1.0)
    node = lab.lab.nodes[0]
    with socket.socket() as there:
        there.bind((node.address, node.port))
        there.listen()
        with pytest.raises(VcompareError, match="in use by something else") as refused:
            lab.check(settings, 0)
        assert "vcompare lab doctor --fix" in refused.value.remedy
        os.makedirs(lab.lab.folder)
        # An empty folder is not a lab.
        with pytest.raises(VcompareError, match="in use by something else"):
            lab.check(settings, 0)
        Path(lab.lab.state).write_text("{}", encoding="utf-8")
        lab.check(settings, 0)


def test_taking_a_lab_away_has_the_daemon_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = NestedLab(Lab(str(tmp_path), "default"), "qemu:///system")
    os.makedirs(lab.lab.folder)
    Path(lab.lab.state).write_text("{}", encoding="utf-8")
    done: list[str] = []
    monkeypatch.setattr(server, "silent_daemons", lambda: ["libvirtd"])
    monkeypatch.setattr(server, "start_daemons", lambda _journal: done.append("started") or done)
    monkeypatch.setattr(lab, "_take_away", lambda keep_keys: done.append("taken away"))
    assert lab.down()
    assert done == ["started", "taken away"]
