# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of a host: steps of modules, collected from what tasks registered, and put into words."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._host.host_plan import KINDS, HostPlan
from ansible_collections.vcompare.lab.plugins.plugin_utils import host_plan


def result(*steps: tuple[t.Any, ...], **more: t.Any) -> dict[str, t.Any]:
    plan = HostPlan()
    for step in steps:
        plan.add(*step[:4], **(step[4] if len(step) > 4 else {}))
    return {"changed": plan.changed, **plan.result(), **more}


def words(variables: dict[str, t.Any]) -> list[str]:
    return host_plan.lines(*host_plan.collect(variables))


def test_nothing_to_change_is_said() -> None:
    assert words({"one": result(), "other": {"plan": "a text"}, "x": 1}) == ["nothing to change"]
    assert not HostPlan().changed


def test_steps_of_all_results_are_collected_once() -> None:
    shared = ("package", "add", "iptables", "1.8", {"bytes": 400_000})
    variables = {
        "docker_packages": result(
            ("package", "add", "docker.io", "20.10", {"bytes": 36e6}), shared
        ),
        "kvm_packages": result(shared, ("package", "add", "dnsmasq-base", "2.89")),
        "looped": {"results": [result(("module", "load", "kvm_amd", ""))]},
        "left_out": {"skipped": True, "plan": [{"kind": "package"}]},
        "vcompare_allow": ["restart"],
    }
    steps, _files = host_plan.collect(variables)
    assert [step["name"] for step in steps] == ["docker.io", "iptables", "dnsmasq-base", "kvm_amd"]
    assert words(variables) == [
        "packages to add (3, 36.4 MB to fetch): docker.io 20.10, iptables 1.8, dnsmasq-base 2.89",
        "kernel modules to load: kvm_amd",
    ]


def test_files_are_shown_with_their_difference() -> None:
    plan = HostPlan()
    plan.file("/etc/docker/daemon.json", '{"a": 1}\n', '{"a": 2}\n')
    plan.file("/etc/new", None, "word")
    assert words({"engine": plan.result()}) == [
        "file to change: /etc/docker/daemon.json",
        "    --- /etc/docker/daemon.json",
        "    +++ /etc/docker/daemon.json",
        "    @@ -1 +1 @@",
        '    -{"a": 1}',
        '    +{"a": 2}',
        "file to add: /etc/new",
        "    --- /etc/new",
        "    +++ /etc/new",
        "    @@ -0,0 +1 @@",
        "    +word",
    ]
    steps, _files = host_plan.collect({"engine": plan.result()})
    assert len(host_plan.lines(steps, {})) == 2


def test_a_step_that_is_not_allowed_says_what_it_needs() -> None:
    shown = words(
        {
            "docker": result(
                ("service", "restart", "docker.service", "interrupts web", {"needs": "restart"}),
                ("service", "start", "a.socket", "now and at boot"),
                ("service", "start", "b.socket", "now and at boot"),
            ),
            "xen": result(("reboot", "reboot", "the host", "into Xen", {"needs": "reboot"})),
            "kvm": result(("arm", "leave out", "kvm", "no vmx")),
        }
    )
    assert shown == [
        "services to restart: docker.service (interrupts web; needs --allow restart)",
        "services to start: a.socket, b.socket (now and at boot)",
        "reboot: the host (into Xen; needs --allow reboot)",
        "arms left out: kvm (no vmx)",
    ]


def test_every_kind_has_words_and_no_other_is_taken() -> None:
    for kind in KINDS:
        shown = words({"one": result((kind, "add", "thing", "detail"))})
        assert "thing" in shown[0] and "detail" in shown[0]
    with pytest.raises(ValueError, match="wish is not a kind"):
        HostPlan().add("wish", "add", "thing")


def test_a_diff_shows_lists_as_well() -> None:
    plan = HostPlan()
    plan.add("package", "add", "runc", "1.1")
    plan.add("package", "upgrade", "shared", "2", before="1")
    plan.add("service", "start", "docker.service", "at boot")
    assert [(d["after_header"], d["before"], d["after"]) for d in plan.result()["diff"]] == [
        ("packages", "shared 1\n", "runc 1.1\nshared 2\n"),
        ("services", "", "start docker.service at boot\n"),
    ]
