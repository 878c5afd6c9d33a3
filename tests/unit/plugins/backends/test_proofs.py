# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was observed in real instances proves their arm, and no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import proofs, registry
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Result
from ansible_collections.vcompare.lab.plugins.module_utils._contract import arms as contract

OBSERVED = Path(__file__).parent / "observed"
RECORDED = sorted(path.stem for path in OBSERVED.glob("*.txt") if path.stem in contract.ARMS)


def facts(arm: str) -> proofs.Facts:
    return proofs.parse(Result(0, (OBSERVED / f"{arm}.txt").read_text(), "", 0.0, 0.0))


def host(arm: str) -> proofs.Facts:
    kind = "xen" if arm.startswith("xen") else "linux"
    return dict(json.loads((OBSERVED / f"host-{kind}.json").read_text()))


@pytest.mark.parametrize("arm", RECORDED)
@pytest.mark.parametrize("claimed", contract.ARMS)
def test_only_its_own_arm_is_proven(tmp_path: Path, arm: str, claimed: str) -> None:
    backend = registry.backend(claimed, state_dir=str(tmp_path))
    found = backend.inside_proofs(facts(arm), host(arm), 1)
    assert all(proof.holds for proof in found) == (arm == claimed), found


@pytest.mark.parametrize("arm", contract.ARMS)
def test_nothing_observed_proves_nothing(tmp_path: Path, arm: str) -> None:
    nothing = proofs.parse(Result(1, "", "", 0.0, 0.0))
    blank = dict.fromkeys(host("bare" if "bare" in RECORDED else "xen-pv"), "")
    for observed in (host("xen-pv"), blank):
        found = registry.backend(arm, state_dir=str(tmp_path)).inside_proofs(nothing, observed, 1)
        assert found
        assert not any(proof.holds for proof in found)


@pytest.mark.parametrize("arm", RECORDED)
def test_another_number_of_cpus_is_no_proof(tmp_path: Path, arm: str) -> None:
    backend = registry.backend(arm, state_dir=str(tmp_path))
    broken = [p.name for p in backend.inside_proofs(facts(arm), host(arm), 2) if not p.holds]
    assert broken == ["cpus"]


LEAF1 = "CPU: 0x00000001 0x00: eax=0x00060fb1 ebx=0x01000800 ecx={} edx=0x0fcbfbfd"
LEAF4 = "CPU: 0x40000000 0x00: eax=0x40000001 ebx={} ecx={} edx={}"


@pytest.mark.parametrize(
    ("ecx", "registers", "expected"),
    [
        ("0xfed8320b", ("0x54474354", "0x43544743", "0x47435447"), "TCGTCGTCGTCG"),
        ("0xfed8320b", ("0x4b4d564b", "0x564b4d56", "0x0000004d"), "KVMKVMKVM"),
        ("0xfef83203", ("0x566e6558", "0x65584d4d", "0x4d4d566e"), "XenVMMXenVMM"),
        # no hypervisor bit: an Intel CPU answers with its highest basic leaf
        ("0x7ed8320b", ("0x4b4d564b", "0x564b4d56", "0x0000004d"), ""),
    ],
)
def test_signatures(ecx: str, registers: tuple[str, str, str], expected: str) -> None:
    assert proofs.signature(LEAF1.format(ecx), LEAF4.format(*registers)) == expected


def test_no_cpuid_no_signature() -> None:
    assert proofs.signature("", "") == ""
    assert proofs.signature(LEAF1.format("0xfed8320b"), "cpuid: not found") == ""
