"""Booting a node anew: what is refused before anything is touched. That it works is seen by each lab that is made."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils.lab.layout import Lab
from ansible_collections.vcompare.lab.plugins.module_utils.lab.nodes import NestedLab
from ansible_collections.vcompare.lab.plugins.modules import nested_lab


def test_a_node_that_the_lab_has_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(VcompareError, match="no node lab-zen"):
        NestedLab(Lab(str(tmp_path), "default")).restart(["lab-zen"], 1)


def test_without_a_lab_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(VcompareError, match="There is no lab default"):
        NestedLab(Lab(str(tmp_path), "default")).restart(["lab-xen"], 1)
    assert list(tmp_path.iterdir()) == []


def test_check_mode_knows_each_state() -> None:
    before = {"state": "running", "provisioned": True}
    for state in ("present", "kept", "restarted", "stopped", "absent", "described", "checked"):
        assert isinstance(nested_lab._would_change(before, state), bool)
    assert nested_lab._would_change(before, "restarted")
