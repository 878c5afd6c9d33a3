# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Labs of more than two nodes: what they add, and that a lab of two is what it was."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import Lab
from ansible_collections.vcompare.lab.plugins.module_utils._lab.nodes import NestedLab, Settings

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize("count", [3, 4])
def test_the_first_two_nodes_stay_what_they_are(count: int) -> None:
    two, more = Lab("/srv", "default"), Lab("/srv", "default", count)
    assert more.nodes[:2] == two.nodes
    assert [node.name for node in more.nodes[2:]] == ["lab-linux-2", "lab-xen-2"][: count - 2]
    assert len({(node.address, node.domain) for node in more.nodes}) == count
    assert more.owner == two.owner


@pytest.mark.parametrize("count", [0, -1, 5, 100])
def test_another_number_is_refused_with_what_to_take(count: int) -> None:
    with pytest.raises(VcompareError) as caught:
        Lab("/srv", "default", count)
    assert "--nodes" in caught.value.message
    assert "lab-linux-2" in caught.value.remedy


def test_nodes_of_a_pair_name_each_other() -> None:
    lab = Lab("/srv", "default", 4)
    cards = {node.name: lab.pair_card(node) for node in lab.nodes}
    for node in lab.nodes:
        card = cards[node.name]
        assert card is not None
        other = cards[card.peer]
        assert other is not None
        assert (other.peer, other.peer_loopback) == (node.name, node.address)
        assert (other.address, other.peer_address) == (card.peer_address, card.address)
    assert len({card.mac for card in cards.values() if card}) == 4


def test_who_stands_alone_has_no_second_card() -> None:
    assert not any(map(Lab("/srv", "default").pair_card, Lab("/srv", "default").nodes))
    three = Lab("/srv", "default", 3)
    assert [node.name for node in three.nodes if three.pair_card(node)] == [
        "lab-linux",
        "lab-linux-2",
    ]


def settings(**changes: object) -> Settings:
    made = Settings("tcg", "/i/node-1", "/i/guest-1", 2, 2560, 300.0)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_a_lab_of_two_has_the_fingerprint_that_it_had() -> None:
    # As worked out before there were labs of more: a snapshot of those is still good.
    assert settings().fingerprint() == "2ae72583bb1c556c"
    assert len({settings(nodes=count).fingerprint() for count in (1, 2, 3, 4)}) == 4


def test_the_machine_of_a_pair_has_one_card_more(tmp_path: Path) -> None:
    for count, cards in ((2, 0), (3, 1)):
        lab = NestedLab(Lab(str(tmp_path), "default"), "test:///default", count)
        node = lab.lab.nodes[0]
        spec = lab._spec(node, settings(nodes=count))
        arguments = spec.options.get("qemu_args", [])
        assert len([word for word in arguments if word.startswith("virtio-net-pci")]) == cards
        if cards:
            third = lab.lab.nodes[2]
            assert f"udp={third.address}:2223,localaddr={node.address}:2223" in arguments[1]


def test_a_lab_that_is_there_keeps_its_number_for_who_asks_after_it(tmp_path: Path) -> None:
    lab = Lab(str(tmp_path), "default")
    Path(lab.folder).mkdir(parents=True)
    nodes = [dataclasses.asdict(node) for node in Lab(str(tmp_path), "default", 3).nodes]
    Path(lab.state).write_text(json.dumps({"nodes": nodes}), encoding="utf-8")
    assert NestedLab(lab, "test:///default").lab.count == 3
    assert NestedLab(lab, "test:///default", 2).lab.count == 2


def listed(home: Path, *more: str) -> dict[str, t.Any]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ansible.cli.inventory", "--list"),
            *("-i", str(ROOT / "inventories" / "nested" / "nested_lab.yml")),
            *("--playbook-dir", str(ROOT / "playbooks"), "-e", f"vcompare_home={home}", *more),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return t.cast("dict[str, t.Any]", json.loads(done.stdout))


def hosts(home: Path, *more: str) -> dict[str, list[str]]:
    return {group: entry.get("hosts", []) for group, entry in listed(home, *more).items()}


def test_the_inventory_has_peers_when_it_is_asked_for_them(tmp_path: Path) -> None:
    two, three = hosts(tmp_path), hosts(tmp_path, "-e", "vcompare_nodes=3")
    assert "kvm_peers" not in two
    assert two["lab_nodes"] == ["lab-linux", "lab-xen"]
    assert three["docker_peers"] == three["kvm_peers"] == ["lab-linux-2"]
    assert three["kvm_hosts"] == two["kvm_hosts"] == ["lab-linux"]
    assert three["lab_nodes"] == [*two["lab_nodes"], "lab-linux-2"]


@pytest.mark.parametrize(
    ("nodes", "arms", "turns"),
    [
        ("1", "bare,docker,xen-pvh", True),
        ("1", '["bare", "docker-in-xen"]', True),
        # Nobody asked for Xen, or it has a node of its own.
        ("1", "bare,docker", False),
        ("1", "", False),
        ("2", "bare,xen-pvh", False),
        ("0", "bare,xen-pvh", False),
    ],
)
def test_one_node_takes_turns_where_an_arm_of_xen_is_asked_for(
    tmp_path: Path, nodes: str, arms: str, turns: bool
) -> None:
    asked = {"vcompare_nodes": nodes, "vcompare_arms": json.loads(arms) if "[" in arms else arms}
    found = listed(tmp_path, "-e", json.dumps(asked))
    variables = found["_meta"]["hostvars"]["lab-linux"]
    assert variables.get("xen_shares_host", False) is turns
    xen = found.get("xen_hosts", {}).get("hosts", [])
    assert xen == (["lab-linux"] if turns else [] if nodes == "1" else ["lab-xen"])


@pytest.mark.parametrize(
    ("arms", "nodes"),
    [
        ("bare,docker", ["lab-linux"]),
        ('["bare", "kvm", "docker-in-kvm"]', ["lab-linux"]),
        ("bare, docker , xen-pvh", ["lab-linux", "lab-xen"]),
        ("docker-in-xen,bare", ["lab-linux", "lab-xen"]),
        ("", ["lab-linux", "lab-xen"]),
    ],
)
def test_a_lab_has_the_nodes_that_the_arms_need(
    tmp_path: Path, arms: str, nodes: list[str]
) -> None:
    value = json.loads(arms) if arms.startswith("[") else arms
    found = hosts(tmp_path, "-e", json.dumps({"vcompare_arms": value}))
    assert found["lab_nodes"] == nodes


def test_a_lab_that_is_there_loses_no_node(tmp_path: Path) -> None:
    lab = Lab(str(tmp_path), "default", 3)
    Path(lab.folder).mkdir(parents=True)
    nodes = [dataclasses.asdict(node) for node in lab.nodes]
    Path(lab.state).write_text(json.dumps({"nodes": nodes[:2]}), encoding="utf-8")
    asked = ("-e", "vcompare_arms=bare,docker")
    assert hosts(tmp_path, *asked)["lab_nodes"] == ["lab-linux", "lab-xen"]
    assert hosts(tmp_path, *asked, "-e", "vcompare_nodes=1")["lab_nodes"] == ["lab-linux"]
