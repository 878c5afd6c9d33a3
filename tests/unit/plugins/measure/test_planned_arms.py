# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run's manifest says of arms that a host was asked for."""

from __future__ import annotations

from ansible_collections.vcompare.lab.plugins.action.bundle import planned_arms


def test_an_arm_that_a_host_cannot_carry_is_listed_with_its_reason() -> None:
    hosts = {
        "a": {
            "arms": ["bare", "docker"],
            "unsupported": {"kvm": "no hardware virtualisation"},
            "substrate": "metal",
            "planned": True,
            "reason": None,
        },
        "b": {"arms": ["xen-pv"], "substrate": "metal", "planned": False, "reason": "unreachable"},
    }
    found = {
        (arm["arm"], arm["host"]): (arm["planned"], arm["reason"]) for arm in planned_arms(hosts)
    }
    assert found == {
        ("bare", "a"): (True, None),
        ("docker", "a"): (True, None),
        ("kvm", "a"): (False, "no hardware virtualisation"),
        ("xen-pv", "b"): (False, "unreachable"),
    }
