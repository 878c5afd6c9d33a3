"""Booting a node anew: what is refused before anything is touched. That it works is seen by each lab that is made."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._lab import snapshots
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import Lab, Node
from ansible_collections.vcompare.lab.plugins.module_utils._lab.nodes import NestedLab
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


def test_two_nodes_may_boot_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Lab(str(tmp_path), "default")
    Path(place.folder).mkdir(parents=True)
    Path(place.state).write_text("{}", encoding="utf-8")
    one, another = (NestedLab(place, "test:///default", count=4) for _lab in range(2))
    booted: list[str] = []
    monkeypatch.setattr(NestedLab, "_shut_down", lambda lab, node, timeout_s: None)
    monkeypatch.setattr(NestedLab, "_domain", lambda lab, node: node)
    monkeypatch.setattr(snapshots, "power_on", lambda node: booted.append(node.name))

    def meanwhile(lab: NestedLab, nodes: list[Node], timeout_s: float) -> None:
        if nodes[0].name == "lab-xen":
            assert another.restart(["lab-xen-2"], timeout_s)
            # What is for the whole lab waits until they are there.
            with pytest.raises(VcompareError, match=r"Another command \(process \d+\) works on"):
                another.stop()

    monkeypatch.setattr(NestedLab, "_wait", meanwhile)
    assert one.restart(["lab-xen"], 1)
    assert booted == ["lab-xen", "lab-xen-2"]
    # And none of them begins while that goes on.
    with one._lock(), pytest.raises(VcompareError, match="Another command"):
        another.restart(["lab-xen"], 1)


def test_a_slow_lab_server_gives_a_node_more_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Lab(str(tmp_path), "default")
    Path(place.folder).mkdir(parents=True)
    lab = NestedLab(place, "test:///default")
    waited: list[float] = []
    monkeypatch.setattr(NestedLab, "_shut_down", lambda lab, node, timeout_s: None)
    monkeypatch.setattr(NestedLab, "_domain", lambda lab, node: node)
    monkeypatch.setattr(snapshots, "power_on", lambda node: None)
    monkeypatch.setattr(NestedLab, "_wait", lambda lab, nodes, timeout_s: waited.append(timeout_s))
    for acceleration in ("{}", '{"acceleration": null}', '{"acceleration": {"tcg_boot_s": null}}'):
        Path(place.state).write_text(acceleration, encoding="utf-8")
        assert lab.restart(["lab-xen"], 900)
    Path(place.state).write_text('{"acceleration": {"tcg_boot_s": 1.5}}', encoding="utf-8")
    assert lab.restart(["lab-xen"], 900)
    Path(place.state).write_text('{"acceleration": {"tcg_boot_s": 15.0}}', encoding="utf-8")
    assert lab.restart(["lab-xen"], 900)
    assert waited == [900, 900, 900, 900, 2700]
