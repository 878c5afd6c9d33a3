# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""libvirt's XML: judged by libvirt's own schema where its tools are installed."""

from __future__ import annotations

import shutil
import subprocess
import typing as t
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import (
    kvm_network,
    kvm_xml,
    network,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Image, InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

IMAGE = Image("/dev/disk/by-id/virtio-vc-rootfs", kernel="/kit/vmlinuz", initrd="/kit/initrd.img")
NODE: dict[str, t.Any] = {
    "domain_type": "qemu",
    "cpu_mode": "maximum",
    "cpu_disabled_features": ["smap", "rdtscp"],
    "persistent": True,
    "disks": [
        {"path": "/labs/a.qcow2", "format": "qcow2", "cache": "unsafe"},
        {"path": "/labs/kit.img", "serial": "vc-kit", "readonly": True},
    ],
    "user_network": {"hostfwd": [["127.1.2.3", 2222, 22]], "mac": "52:54:00:AA:bb:cc"},
    "console_log": "/labs/console.log",
    "metadata": {"role": "node"},
    "seclabel": {"model": "dac", "label": "+0:+0"},
    "tcg_tb_size_mib": 512,
    "vcpu_pin": ["0", "1"],
    "oem_strings": ["io.systemd.credential:a=<&b>"],
    "qemu_args": ["-msg", "timestamp=on"],
}
CASES = {
    "guest": (InstanceSpec("vc-guest", image=IMAGE, cpuset="1"), {"mac": "52:54:00:d5:02:10"}),
    "node": (InstanceSpec("vc-node", vcpus=2, memory_mib=3000), NODE),
    "kernel only": (
        InstanceSpec("vc-probe"),
        {"kernel": "/k", "cmdline": "a=b", "cpu_mode": "custom", "cpu_model": "EPYC"},
    ),
}


def build(case: str, **more: t.Any) -> ET.Element:
    spec, options = CASES[case]
    return ET.fromstring(kvm_xml.domain_xml(spec, {**options, **more}))  # noqa: S314


@pytest.mark.skipif(
    not (shutil.which("virt-xml-validate") and shutil.which("xmllint")),
    reason="virt-xml-validate or xmllint is not installed",
)
@pytest.mark.parametrize("case", [*CASES, "network"])
def test_schema(tmp_path: Path, case: str) -> None:
    path, kind = tmp_path / "x.xml", "domain"
    if case == "network":
        path.write_text(kvm_network.network_xml(network.KVM, "me"))
        kind = "network"
    else:
        path.write_text(kvm_xml.domain_xml(*CASES[case]))
    done = subprocess.run(
        ["virt-xml-validate", str(path), kind], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_guest() -> None:
    root = build("guest")
    assert root.get("type") == "kvm"
    assert root.findtext("metadata/{https://vcompare.org/xmlns/lab/1}owner") == "default"
    assert root.findtext("os/kernel") == "/kit/vmlinuz"
    disk = root.find("devices/disk")
    assert disk is not None
    assert disk.get("type") == "block"
    assert disk.find("readonly") is not None
    assert disk.find("driver").attrib["cache"] == "none"  # type: ignore[union-attr]
    assert root.find("devices/interface/source").attrib == {"network": "vcompare"}  # type: ignore[union-attr]
    assert root.find("vcpu").get("cpuset") == "1"  # type: ignore[union-attr]
    assert root.findtext("on_reboot") == "destroy"
    assert root.find("devices/memballoon").get("model") == "none"  # type: ignore[union-attr]


def test_a_node() -> None:
    root = build("node")
    arguments = [item.get("value") for item in root.findall(f"{{{kvm_xml.QEMU_NAMESPACE}}}*/*")]
    assert arguments == [
        "-netdev",
        "user,id=vcuser0,restrict=off,hostfwd=tcp:127.1.2.3:2222-:22",
        "-device",
        "virtio-net-pci,netdev=vcuser0,romfile=,addr=0x1e,mac=52:54:00:aa:bb:cc",
        "-msg",
        "timestamp=on",
    ]
    assert root.find("os/boot").get("dev") == "hd"  # type: ignore[union-attr]
    assert [item.get("dev") for item in root.findall("devices/disk/target")] == ["vda", "vdb"]
    assert root.find("devices/interface") is None
    assert root.findtext("features/tcg/tb-cache") == "512"
    assert root.findtext("seclabel/label") == "+0:+0"
    assert [pin.get("cpuset") for pin in root.findall("cputune/vcpupin")] == ["0", "1"]
    assert root.findtext("on_reboot") == "restart"
    assert root.findtext("sysinfo/oemStrings/entry") == "io.systemd.credential:a=<&b>"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cpu_modle": "x"}, "no option 'cpu_modle'"),
        ({"domain_type": "xen"}, "domain_type"),
        ({"domain_type": "qemu"}, "pass the host's CPU through"),
        ({"cpu_mode": "custom"}, "cpu_model"),
        ({"cpu_model": "EPYC"}, "cpu_model"),
        ({"cpu_disabled_features": ["x,y"]}, "not a name"),
        ({"tcg_tb_size_mib": 1}, "domain_type=qemu"),
        ({"mac": "52:54:00"}, "not a MAC address"),
        ({"disks": [{"path": "relative"}]}, "not an absolute path"),
        ({"disks": [{"path": "/x", "format": "vmdk"}]}, "format"),
        ({"disks": [{"path": "/x", "serial": "a" * 21}]}, "serial"),
        ({"disks": [{"path": "/x", "bus": "ide"}]}, "no option 'bus'"),
        ({"user_network": {"hostfwd": [["127.0.0.1,x=y", 1, 2]]}}, "not a port forward"),
        ({"user_network": {"hostfwd": [["127.0.0.1", 0, 22]]}}, "not a port forward"),
        ({"user_network": {"hostfwd": [["127.0.0.1", 22]]}}, "not a port forward"),
        ({"vcpu_pin": ["0", "1"]}, "vcpu_pin"),
        ({"metadata": {"a b": "c"}}, "metadata"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, t.Any], said: str) -> None:
    with pytest.raises(BackendError, match=said):
        kvm_xml.domain_xml(InstanceSpec("vc-a", image=IMAGE), options)


def test_nothing_to_boot_from_is_refused() -> None:
    with pytest.raises(BackendError, match="boot from"):
        kvm_xml.domain_xml(InstanceSpec("vc-a"), {})
    with pytest.raises(BackendError, match="no kernel"):
        kvm_xml.domain_xml(InstanceSpec("vc-a", image=Image("/dev/vda")), {})


def test_options_that_are_none_count_as_not_given() -> None:
    spec, options = CASES["guest"]
    nothing = dict.fromkeys(kvm_xml.OPTIONS - options.keys())
    assert kvm_xml.domain_xml(spec, {**options, **nothing}) == kvm_xml.domain_xml(spec, options)
