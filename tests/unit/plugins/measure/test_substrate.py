# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host is: firmware tables as machines have them, and this very machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._host import substrate
from ansible_collections.vcompare.lab.plugins.module_utils._host.substrate import Evidence, classify
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.pool import agent

XEN = "XenVMMXenVMM"


def dmi(
    vendor: str, product: str, board: str = "", bios: str = "", version: str = ""
) -> dict[str, str]:
    names = ("sys_vendor", "product_name", "board_vendor", "bios_vendor", "product_version")
    return {
        name: text
        for name, text in zip(names, (vendor, product, board, bios, version), strict=True)
        if text
    }


VIRTUAL = {
    "KVM": dmi("QEMU", "Standard PC (Q35 + ICH9, 2009)", bios="SeaBIOS", version="pc-q35-7.2"),
    "KVM named by its maker": dmi("Red Hat", "KVM", "Red Hat", "SeaBIOS"),
    "OpenStack": dmi("OpenStack Foundation", "OpenStack Nova", bios="SeaBIOS", version="27.1.1"),
    "OVHcloud": dmi("OpenStack Foundation", "OpenStack Nova"),
    "VMware": dmi("VMware, Inc.", "VMware Virtual Platform", "Intel Corporation", "Phoenix Technologies LTD"),
    "VMware 7": dmi("VMware, Inc.", "VMware7,1", "Intel Corporation", "VMware, Inc."),
    "VirtualBox": dmi("innotek GmbH", "VirtualBox", "Oracle Corporation", "innotek GmbH", "1.2"),
    "Hyper-V": dmi(
        "Microsoft Corporation", "Virtual Machine", "Microsoft Corporation", "Microsoft Corporation",
        "Hyper-V UEFI Release v4.1",
    ),
    "Azure, first generation": dmi("Microsoft Corporation", "Virtual Machine", bios="American Megatrends Inc."),
    "GCE": dmi("Google", "Google Compute Engine", "Google", "Google"),
    "Hetzner Cloud": dmi("Hetzner", "vServer", bios="Hetzner", version="20171111"),
    "EC2 Nitro": dmi("Amazon EC2", "m5.large", "Amazon EC2", "Amazon EC2"),
    "EC2 Xen": dmi("Xen", "HVM domU", bios="Xen", version="4.11.amazon"),
    "DigitalOcean": dmi("DigitalOcean", "Droplet", bios="DigitalOcean", version="20171212"),
    "Alibaba Cloud": dmi("Alibaba Cloud", "Alibaba Cloud ECS", bios="SeaBIOS"),
    "Proxmox VE with OVMF": dmi("QEMU", "Standard PC (i440FX + PIIX, 1996)", bios="Proxmox distribution of EDK II"),
    "firmware of a real maker above OVMF": dmi("Dell Inc.", "PowerEdge R640", bios="EFI Development Kit II / OVMF"),
    "Parallels": dmi("Parallels Software International Inc.", "Parallels Virtual Platform"),
    "bhyve": dmi("FreeBSD", "BHYVE", bios="BHYVE"),
    "Nutanix": dmi("Nutanix", "AHV"),
    "Apple": dmi("Apple Inc.", "Apple Virtualization Generic Platform"),
}  # fmt: skip
REAL = {
    "Dell": dmi("Dell Inc.", "PowerEdge R640", "Dell Inc.", "Dell Inc."),
    "HPE": dmi("HPE", "ProLiant DL380 Gen10", "HPE", "HPE"),
    "Supermicro": dmi("Supermicro", "SYS-1029P-WTR", "Supermicro", "American Megatrends Inc."),
    "Hetzner, a dedicated server": dmi(
        "FUJITSU", "D3401-H1", "FUJITSU", "FUJITSU // American Megatrends Inc."
    ),
    "Oracle's own server": dmi("Oracle Corporation", "ORACLE SERVER X7-2", "Oracle Corporation"),
    "Lenovo": dmi("LENOVO", "ThinkSystem SR650 -[7X06CTO1WW]-"),
    "named by its board alone": dmi(
        "To Be Filled By O.E.M.", "To Be Filled By O.E.M.", "ASRockRack"
    ),
}
NEITHER = {
    "no firmware table": {},
    "no names": dmi("To Be Filled By O.E.M.", "To Be Filled By O.E.M."),
    "a maker that is not known": dmi("Frobnicator GmbH", "Box 3000"),
    "Microsoft's real machines": dmi("Microsoft Corporation", "Surface Pro"),
    "Hetzner without a product": dmi("Hetzner", "AX"),
}


@pytest.mark.parametrize("name", VIRTUAL)
@pytest.mark.parametrize("dom0", [True, False])
def test_a_virtual_machine_is_one_with_and_without_a_xen_of_its_own(name: str, dom0: bool) -> None:
    found = Evidence(
        signature=XEN if dom0 else "KVMKVMKVM",
        flag=True,
        dmi=VIRTUAL[name],
        xen_role="control_d" if dom0 else "",
    )
    assert classify(found) == "vm"
    assert classify(Evidence(dmi=VIRTUAL[name])) == "vm", "one that hides its hypervisor"


@pytest.mark.parametrize("name", REAL)
def test_real_hardware_is_known_by_its_maker(name: str) -> None:
    assert classify(Evidence(dmi=REAL[name])) == "metal"
    assert classify(Evidence(XEN, flag=True, dmi=REAL[name], xen_role="control_d")) == "metal"
    assert classify(Evidence("KVMKVMKVM", flag=True, dmi=REAL[name])) == "vm"
    assert classify(Evidence(dmi=REAL[name], smbios_vm=True)) == "vm"


@pytest.mark.parametrize("name", NEITHER)
@pytest.mark.parametrize(
    ("signature", "role"), [("", ""), (XEN, "control_d"), ("ZYXZYXZYXZYX", "")]
)
def test_what_nothing_establishes_is_unknown(name: str, signature: str, role: str) -> None:
    found = Evidence(signature, flag=bool(signature), dmi=NEITHER[name], xen_role=role)
    assert classify(found) == "unknown"


def test_sensors_of_a_real_machine_establish_it_without_a_name() -> None:
    assert classify(Evidence(sensors=True)) == "metal"
    assert classify(Evidence(sensors=True, flag=True)) == "unknown"
    assert classify(Evidence("KVMKVMKVM", sensors=True, flag=True)) == "vm"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Evidence("TCGTCGTCGTCG", "QEMU TCG CPU version 2.5+", flag=True), "nested-tcg"),
        (Evidence(XEN, "QEMU TCG CPU version 2.5+", True, VIRTUAL["KVM"], xen_role="control_d"), "nested-tcg"),
        (Evidence("KVMKVMKVM", "AMD EPYC", True, VIRTUAL["KVM"], node=True), "nested-kvm"),
        (Evidence(XEN, "AMD EPYC", True, VIRTUAL["KVM"], xen_role="control_d", node=True), "nested-kvm"),
        (Evidence(XEN, "AMD EPYC", True, {}, xen_role="PVH"), "vm"),
        (Evidence("", "Intel Xeon", False, {}, xen_role="PV"), "vm"),
        (Evidence("", "Intel Xeon", False, dmi("Amazon EC2", "m5.metal", "Amazon EC2"), False), "metal"),
        (Evidence(XEN, "Intel Xeon", True, dmi("Amazon EC2", "m5.metal"), False, "control_d"), "metal"),
        (Evidence("", "Intel Xeon", True, dmi("Amazon EC2", "m5.large"), False), "vm"),
        (Evidence(XEN, "Intel Xeon", True, dmi("Amazon EC2", "m5.large"), None, "control_d"), "vm"),
    ],
)  # fmt: skip
def test_nodes_of_a_lab_guests_and_clouds_that_rent_out_both(
    found: Evidence, expected: str
) -> None:
    assert classify(found) == expected


def test_the_files_of_a_host_are_read(tmp_path: Path) -> None:
    def write(path: str, content: str | bytes) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    assert substrate.read(tmp_path, "") == Evidence()
    write("proc/cpuinfo", "model name\t: AMD EPYC\nflags\t\t: fpu hypervisor svm\n")
    write("sys/class/dmi/id/sys_vendor", "Hetzner\n")
    write("sys/class/dmi/id/product_name", "vServer\n")
    write("sys/firmware/dmi/entries/0-0/raw", bytes(19) + b"\x1c" + bytes(4))
    write("proc/xen/capabilities", "control_d\n")
    found = substrate.read(tmp_path, XEN)
    assert found == Evidence(
        XEN,
        "AMD EPYC",
        True,
        {"sys_vendor": "Hetzner", "product_name": "vServer"},
        True,
        "control_d",
    )
    assert classify(found) == "vm"


def test_this_machine_is_not_called_real_where_systemd_sees_a_virtual_one() -> None:
    try:
        done = subprocess.run(
            ["systemd-detect-virt", "--vm"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("systemd-detect-virt is not on this machine")
    if done.stdout.strip() not in ("none", ""):
        assert substrate.detect() != "metal"


@pytest.mark.parametrize("kind", ["metal", "unknown"])
def test_the_power_of_what_may_be_a_real_server_is_not_cut(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(substrate, "detect", lambda: kind)
    monkeypatch.setattr(agent, "_SYSRQ", tmp_path / "sysrq")
    with pytest.raises(agent.NotPossible, match="not known to be a virtual machine"):
        agent.Agent.do_cut(object.__new__(agent.Agent))
    assert not (tmp_path / "sysrq").exists()
