# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""xl's configuration and answers; the answers were recorded on a Xen 4.17."""

from __future__ import annotations

import ast
import dataclasses
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import xen
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import (
    Destination,
    Image,
    InstanceSpec,
    System,
)
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import (
    BackendError,
    NotPossible,
)
from hypothesis import given, settings
from hypothesis import strategies as st

OBSERVED = Path(__file__).parent / "observed"
UUID = "a5330114-37e4-4888-a17f-11cd35f73564"


def read(text: str) -> dict[str, object]:
    """Read a configuration back: what we write of xl's language is also Python's."""
    lines = [line.partition("=") for line in text.splitlines() if not line.startswith("#")]
    return {key.strip(): ast.literal_eval(value.strip()) for key, _equals, value in lines}


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["name", "extra", "disk", "memory"]),
        st.one_of(
            st.integers(0, 1 << 20),
            st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"])),
            st.lists(st.text("abc=,/-0", min_size=1), min_size=1, max_size=2),
        ),
    )
)
def test_a_configuration_is_read_back_or_refused(values: dict[str, xen.Value]) -> None:
    texts = [value for value in values.values() if isinstance(value, str)]
    if any(set(text) & set('"\\') for text in texts):
        with pytest.raises(BackendError):
            xen.render(values, "me")
    else:
        text = xen.render(values, "me")
        assert text.startswith("# vcompare-owner: me\n")
        assert read(text) == values


def test_a_guest(tmp_path: Path) -> None:
    spec = InstanceSpec("vc-a", image=Image("/dev/x", "/kit/vmlinuz", "/kit/initrd"), cpuset="1")
    for backend in (xen.XenPv(str(tmp_path)), xen.XenPvh(str(tmp_path))):
        config = backend.config(spec, {"mac": "00:16:3e:d5:03:10", "uuid": UUID})
        assert read(xen.render(config, "me")) == config
        assert config["type"] == backend.kind
        assert config["uuid"] == UUID
        assert config["disk"] == ["format=raw,vdev=xvda,access=r,target=/dev/x"]
        assert config["vif"] == ["mac=00:16:3e:d5:03:10,bridge=vcxen0,script=vif-bridge"]
        assert config["memory"] == config["maxmem"] == 256
        assert config["cpus"] == "1"
        assert config["tsc_mode"] == "native"
        assert f"vcompare.arm={backend.arm}" in str(config["extra"])


def test_a_fully_virtualised_guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = xen.XenHvm(str(tmp_path))
    spec = InstanceSpec("vc-a", image=Image("/dev/x", "/kit/vmlinux", "/kit/initrd"), cpuset="1")
    config = backend.config(spec, {"mac": "00:16:3e:d5:03:10", "uuid": UUID})
    assert read(xen.render(config, "me")) == config
    # Firmware starts a packed kernel, and nothing is emulated that has a front end.
    assert (config["type"], config["kernel"]) == ("hvm", "/kit/vmlinuz")
    assert config["disk"] == ["format=raw,vdev=xvde,access=r,target=/dev/x"]
    assert config["vif"] == ["mac=00:16:3e:d5:03:10,bridge=vcxen0,script=vif-bridge,type=vif"]
    assert (config["vga"], config["vnc"]) == ("none", 0)
    assert config["xen_platform_pci"] == 1
    for path in ("vmlinux", "initrd", "rootfs"):
        (tmp_path / path).touch()
    image = Image(str(tmp_path / "rootfs"), str(tmp_path / "vmlinux"), str(tmp_path / "initrd"))
    monkeypatch.setattr(xen, "ensure_bridge", lambda *_: None)
    monkeypatch.setattr(type(backend.keys), "ensure", lambda self: None)
    with pytest.raises(BackendError, match="packed kernel is not there"):
        backend._prepare_host(dataclasses.replace(spec, image=image))


def test_another_system_takes_the_place_of_the_kernel(tmp_path: Path) -> None:
    system = System("memtest86+", "/others/memtest.bin", "Memtest", cmdline="console=ttyS0")
    for backend in (xen.XenPv(str(tmp_path)), xen.XenPvh(str(tmp_path)), xen.XenHvm(str(tmp_path))):
        spec = backend.foreign(InstanceSpec("vc-a", image=Image("/dev/x"), cpuset="1"), system)
        config = backend.config(spec, {"mac": "m", "uuid": UUID})
        assert read(xen.render(config, "me")) == config
        assert (config["kernel"], config["extra"]) == ("/others/memtest.bin", "console=ttyS0")
        assert config["serial"] == f"file:{tmp_path}/instances/vc-a/console.log"
        assert not {"disk", "vif", "ramdisk"} & set(config)
        # Only a machine with firmware has any business with it.
        assert bool(backend.refuses_systems) == (backend.arm != "xen-hvm")
    for backend in (xen.XenPv(str(tmp_path)), xen.XenPvh(str(tmp_path))):
        with pytest.raises(NotPossible):
            backend.foreign(spec, dataclasses.replace(system, boot="disk"))


def test_a_machine_with_firmware_boots_from_a_disk_that_it_cannot_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[str]] = []
    monkeypatch.setattr(xen, "host_run", lambda argv, *_, **__: made.append(list(argv)))
    monkeypatch.setattr(xen.Xen, "_stage", lambda self, spec, record: None)
    backend = xen.XenHvm(str(tmp_path))
    for content, device in ((bytes(0x8001) + b"CD001", "cdrom"), (bytes(99), "boot.qcow2")):
        path = tmp_path / "image"
        path.write_bytes(content)
        system = System("BSD", str(path), "login:", boot="disk")
        spec = backend.foreign(InstanceSpec("vc-a", image=Image("/dev/x"), cpuset="1"), system)
        record = {"mac": "m", "uuid": UUID}
        backend._stage(spec, record)
        config = backend.config(spec, record)
        assert read(xen.render(config, "me")) == config
        (disk,) = t.cast("list[str]", config["disk"])
        assert device in disk
        # The file itself is the machine's only where that can't write to it.
        assert (str(path) in disk) == ("access=r" in disk)
        assert "kernel" not in config
    ((*_words, layer),) = made
    assert layer.startswith(str(tmp_path)) and "-b" in made[0]
    with pytest.raises(NotPossible):
        backend.foreign(spec, dataclasses.replace(system, firmware="uefi"))


def test_no_device_model_no_fully_virtualised_guest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xen.Xen, "available", lambda self: "")
    monkeypatch.setattr(xen, "DEVICE_MODELS", (str(tmp_path / "model"),))
    backend = xen.XenHvm(str(tmp_path))
    assert "qemu-system-xen" in backend.available()
    (tmp_path / "model").touch()
    assert backend.available() == ""
    monkeypatch.setattr(xen.Xen, "available", lambda self: "no Xen here")
    assert backend.available() == "no Xen here"


def test_the_list_of_domains() -> None:
    zero, guest = xen.parse_list((OBSERVED / "xl-list-v.txt").read_text())
    assert (zero.name, zero.domid, zero.state) == ("Domain-0", 0, "running")
    assert (guest.name, guest.domid, guest.memory_mib, guest.vcpus) == ("vc-obs", 5, 160, 1)
    assert (guest.uuid, guest.state) == (UUID, "running")


@pytest.mark.parametrize(
    ("flags", "state"),
    [
        ("r-----", "running"),
        ("-b----", "running"),
        ("------", "running"),
        ("--p---", "broken"),
        ("---s--", "broken"),
        ("----c-", "broken"),
        ("-----d", "broken"),
    ],
)
def test_states(flags: str, state: str) -> None:
    line = f"vc-a   7   160     1     {flags}      11.9 {UUID}        -                -"
    (row,) = xen.parse_list(f"Name ID Mem VCPUs State Time(s) UUID\n{line}")
    assert row.state == state


def test_a_half_made_domain_without_a_name_is_seen() -> None:
    line = f"(null)     7     0     1     --p---      0.0 {UUID}        -                -"
    (row,) = xen.parse_list(f"header\n{line}\n")
    assert (row.domid, row.uuid) == (7, UUID)
    (row,) = xen.parse_list(f"header\n   {line.removeprefix('(null)')}\n")
    assert (row.name, row.domid) == ("", 7)
    assert xen.parse_list("header\nsomething else\n\n") == []


def test_how_busy_a_domain_was() -> None:
    """By the second of two looks; the first has nothing to compare with. As xentop of Xen 4.17 prints them."""
    head = "               NAME  STATE   CPU(sec) CPU(%)     MEM(k) MEM(%)  MAXMEM(k) MAXMEM(%) VCPUS NETS\n"
    zero = "           Domain-0 -----r       3934   48.1    1048576   40.0    1048576      40.0     2    0\n"
    guest = "               vc-a --b---         88  {}     262208   10.0     263168      10.0     1    1\n"
    text = head + zero + guest.format(" 0.0") + head + zero + guest.format("13.0")
    assert xen.domain_cpu(text, "vc-a") == pytest.approx(0.13)
    for name in ("vc-b", "vc"):
        with pytest.raises(BackendError, match="does not say how busy"):
            xen.domain_cpu(text, name)
    with pytest.raises(BackendError, match="does not say how busy"):
        xen.domain_cpu(text.rpartition(head)[0], "vc-a")


def test_the_type_of_a_domain() -> None:
    assert xen.domain_type((OBSERVED / "xl-list-l-pvh.json").read_text()) == "pvh"
    for text in ("", "[]", "{}", "vc-a is an invalid domain identifier (rc=-6)"):
        assert xen.domain_type(text) == ""


@pytest.mark.parametrize(("seen", "said"), [(160, 160), (159, 160), (158, 158), (200, 200)])
def test_a_machine_with_a_hole_in_its_memory_has_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: int, said: int
) -> None:
    row = xen.parse_list((OBSERVED / "xl-list-v.txt").read_text())[1]
    monkeypatch.setattr(
        xen.Xen, "_row", lambda self, name, record: dataclasses.replace(row, memory_mib=seen)
    )
    record = {"uuid": UUID, "owner": "me", "spec": {"memory_mib": 160}}
    live = xen.XenHvm(str(tmp_path))._look("vc-obs", record)
    assert live is not None
    assert live.memory_mib == said
    # Guests of the other types have no such hole.
    other = xen.XenPvh(str(tmp_path))._look("vc-obs", record)
    assert other is not None
    assert other.memory_mib == seen


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("xc: error: Failed to enable logdirty: 95,22,0 (22 = Invalid argument)", NotPossible),
        ("xc: error: Failed to enable logdirty: 12,22,0 (22 = Invalid argument)", BackendError),
    ],
)
def test_a_xen_that_can_log_no_writes_moves_no_guest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, expected: type[Exception]
) -> None:
    def host_run(argv: t.Sequence[str], *_rest: object, **_more: object) -> None:
        raise BackendError(f"moving it: xl migrate -s ended with 1: {said}")

    row = xen.Row("vc-a", 3, 64, 1, "-b----", UUID)
    monkeypatch.setattr(xen, "host_run", host_run)
    monkeypatch.setattr(xen.Xen, "_row", lambda self, name, record: row)
    with pytest.raises(BackendError) as caught:
        xen.XenPv(str(tmp_path)).move("vc-a", Destination("192.0.2.1", "/ssh"), 5)
    assert isinstance(caught.value, NotPossible) == (expected is NotPossible)
