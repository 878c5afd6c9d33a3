# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state folder, and what modules read from it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import plain, registry
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import Info
from ansible_collections.vcompare.lab.plugins.module_utils._arms.store import Store
from ansible_collections.vcompare.lab.plugins.module_utils._contract import arms as contract
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError

PARAMS: dict[str, t.Any] = {
    "name": "vc-a",
    "arm": "kvm",
    "owner": "me",
    "vcpus": 1,
    "memory_mib": 256,
    "data_mib": 64,
    "image": {"rootfs": "/r", "kernel": "", "digest": None},
    "command": ["a", "b"],
    "cpuset": None,
    "docker": None,
    "kvm": {"machine": "pc", "uri": None},
    "xen": None,
}


def test_records(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "state"))
    assert store.records() == []
    store.write({"name": "vc-a", "arm": "kvm"})
    (tmp_path / "state/instances/not-ours").mkdir()
    (tmp_path / "state/instances/vc-half").mkdir()
    assert store.records() == [{"name": "vc-a", "arm": "kvm"}]
    assert [store.exists("vc-a"), store.exists("vc-b")] == [True, False]
    assert [store.remove("vc-a"), store.remove("vc-a")] == [True, False]


def test_others_pass_through_and_read_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "state"))
    store.write({"name": "vc-a", "arm": "kvm"})
    with store.lock():
        pass
    for path in [tmp_path / "state", *(tmp_path / "state").rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o711 if path.is_dir() else 0o600), path


def test_names_cannot_leave_the_folder(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for name in ("..", "vc-../../etc", "/etc"):
        with pytest.raises(BackendError):
            store.remove(name)


def test_parameters_become_a_specification() -> None:
    spec = plain.spec_of(PARAMS)
    assert spec.command == ("a", "b")
    assert spec.data_mib == 64
    assert spec.options == {"machine": "pc"}
    assert spec.image is not None
    assert (spec.image.rootfs, spec.image.digest) == ("/r", "")


def test_options_of_another_arm_are_refused() -> None:
    with pytest.raises(BackendError, match="options of kvm"):
        plain.spec_of({**PARAMS, "arm": "docker"})
    with pytest.raises(BackendError, match="options of docker"):
        plain.spec_of({**PARAMS, "docker": {"runtime": "runc"}})


def test_owners() -> None:
    plain.check_ours(Info("vc-a", "kvm", "absent", ours=False), "me")
    plain.check_ours(Info("vc-a", "kvm", "running", details={"owner": "me"}), "me")
    with pytest.raises(BackendError, match="belongs to"):
        plain.check_ours(Info("vc-a", "kvm", "running", details={"owner": "you"}), "me")
    with pytest.raises(BackendError, match="marker"):
        plain.check_ours(Info("vc-a", "kvm", "running", ours=False), "me")


def test_arms_and_their_options() -> None:
    with pytest.raises(BackendError, match="no arm"):
        registry.backend("rkt")


def test_each_backend_is_that_of_its_arm() -> None:
    for arm in contract.MEASURED_ARMS:
        assert registry.backend(arm).arm == arm


def test_the_libraries_of_other_arms_are_not_loaded() -> None:
    program = (
        "import sys\n"
        f"from {registry.__name__} import backend\n"
        "backend('bare'), backend('xen-pvh')\n"
        "print(*sorted({'docker', 'libvirt', 'requests'} & set(sys.modules)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == ""
