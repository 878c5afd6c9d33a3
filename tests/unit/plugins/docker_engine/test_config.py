# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Merging loses nothing; writing keeps who may read."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._engines import docker_config
from ansible_collections.vcompare.lab.plugins.module_utils._engines.docker_api import DaemonState
from hypothesis import given
from hypothesis import strategies as st

from .conftest import INFO

LEAVES = st.one_of(st.booleans(), st.integers(), st.text(max_size=5), st.lists(st.integers()))
KEYS = st.sampled_from("abcd")
OPTIONS = st.dictionaries(KEYS, st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, inner)))


@given(OPTIONS, OPTIONS)
def test_merge_keeps_what_is_not_wanted_otherwise(
    current: dict[str, t.Any], wanted: dict[str, t.Any]
) -> None:
    before = json.dumps(current)
    merged = docker_config.merge(current, wanted)
    assert json.dumps(current) == before
    assert set(merged) == set(current) | set(wanted)
    for key, value in current.items():
        if key not in wanted:
            assert merged[key] == value
    for key, value in wanted.items():
        if not isinstance(value, dict):
            assert merged[key] == value
    assert docker_config.merge(merged, wanted) == merged


def test_merge_known_answers() -> None:
    current = {"log-opts": {"max-size": "1m", "max-file": "3"}, "labels": ["a"], "debug": True}
    wanted = {"log-opts": {"max-size": "9m"}, "labels": ["b"], "debug": None, "mtu": None}
    assert docker_config.merge(current, wanted) == {
        "log-opts": {"max-size": "9m", "max-file": "3"},
        "labels": ["b"],
    }


def test_mode_survives_and_the_backup_has_it_too(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text("{}")
    path.chmod(0o600)
    file = docker_config.load(str(path))
    backup = pathlib.Path(docker_config.back_up(file, lambda *_words: None))
    docker_config.replace(str(path), b'{"debug": true}')
    assert [entry.stat().st_mode & 0o777 for entry in (path, backup)] == [0o600, 0o600]
    docker_config.restore(file)
    assert path.read_bytes() == b"{}"
    assert len(list(tmp_path.iterdir())) == 2


def test_link_is_followed_and_stays(tmp_path: pathlib.Path) -> None:
    (tmp_path / "real.json").write_text("{}")
    link = tmp_path / "daemon.json"
    link.symlink_to("real.json")
    file = docker_config.load(str(link))
    docker_config.replace(file.path, b"[]")
    assert link.is_symlink()
    assert (tmp_path / "real.json").read_bytes() == b"[]"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[1]", "no JSON object but a list"),
        (b'{"a": \xff}', "not UTF-8"),
        (b'{"a": 1', "line 1, column 8"),
        (b'{"a": 1,}\n', "line 1"),
    ],
)
def test_what_is_no_configuration_is_refused(
    tmp_path: pathlib.Path, content: bytes, says: str
) -> None:
    path = tmp_path / "daemon.json"
    path.write_bytes(content)
    with pytest.raises(VcompareError, match=says):
        docker_config.load(str(path))


def test_empty_file_is_no_options(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_bytes(b" \n")
    assert docker_config.load(str(path)).values == {}


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["-H", "fd://", "--containerd=/run/c.sock"], {"host", "containerd"}),
        (["-Hunix:///x", "-D", "--log-level", "warn"], {"host", "debug", "log-level"}),
        ([], set()),
    ],
)
def test_flag_names(flags: list[str], names: set[str]) -> None:
    assert docker_config.flag_names(flags) == names


@pytest.mark.parametrize(
    ("info", "name", "wanted", "holds"),
    [
        ({}, "storage-driver", "overlay2", True),
        ({}, "storage-driver", "vfs", False),
        ({}, "data-root", "/var/lib/docker", True),
        ({}, "data-root", "/srv/docker", False),
        ({"DockerRootDir": "/usr/bin"}, "data-root", "/usr/share/../bin/", True),
        ({}, "exec-opts", ["native.cgroupdriver=systemd"], True),
        ({}, "exec-opts", ["native.cgroupdriver=cgroupfs"], False),
        ({}, "exec-opts", ["isolation=x"], None),
        ({}, "log-opts", {"max-size": "1m"}, None),
        ({}, "insecure-registries", ["127.0.0.0/8"], True),
        ({}, "insecure-registries", ["10.0.0.0/8"], False),
        ({}, "runtimes", {"runc": {}}, True),
        ({}, "runtimes", {"kata": {}}, False),
        ({}, "userns-remap", "default", False),
        ({"SecurityOptions": ["name=userns"]}, "userns-remap", "default", True),
        ({"Labels": ["b=2", "a=1"]}, "labels", ["a=1", "b=2"], True),
        (
            {"RegistryConfig": {"Mirrors": ["https://m.example/"]}},
            "registry-mirrors",
            ["https://m.example"],
            True,
        ),
        (
            {"DefaultAddressPools": [{"Base": "10.9.0.0/16", "Size": 24}]},
            "default-address-pools",
            [{"base": "10.9.0.0/16", "size": 24}],
            True,
        ),
        ({}, "default-address-pools", [{"base": "10.9.0.0/16", "size": 24}], False),
        ({}, "bip", "10.8.0.1/24", True),
        ({}, "bip", "10.7.0.1/24", False),
        ({}, "mtu", 1400, True),
        ({}, "mtu", 1500, False),
    ],
)
def test_what_is_in_force(
    info: dict[str, t.Any], name: str, wanted: t.Any, holds: bool | None
) -> None:
    bridge = {
        "IPAM": {"Config": [{"Subnet": "10.8.0.0/24", "Gateway": "10.8.0.1"}]},
        "Options": {"com.docker.network.driver.mtu": "1400"},
    }
    seen = DaemonState({}, {**INFO, **info}, bridge).observe(name, wanted)
    assert (None if seen is None else seen[1]) is holds


@pytest.mark.parametrize(
    ("current", "wanted", "expected"),
    [
        # A driver refuses another one's options, and the daemon does not start.
        (
            {"log-driver": "gelf", "log-opts": {"gelf-address": "udp://x:1"}},
            {"log-driver": "json-file", "log-opts": {"max-size": "10m"}},
            {"log-driver": "json-file", "log-opts": {"max-size": "10m"}},
        ),
        (
            {"storage-driver": "btrfs", "storage-opts": ["btrfs.min_space=1G"]},
            {"storage-driver": "overlay2"},
            {"storage-driver": "overlay2"},
        ),
        (
            {"log-driver": "syslog", "log-opts": {"syslog-facility": "daemon"}},
            {"log-driver": None},
            {},
        ),
        # The same driver, said or by default, keeps its options.
        ({"log-opts": {"max-file": "3"}}, {"log-driver": None}, {"log-opts": {"max-file": "3"}}),
        (
            {"log-opts": {"max-file": "3"}},
            {"log-driver": "json-file", "log-opts": {"max-size": "10m"}},
            {"log-driver": "json-file", "log-opts": {"max-file": "3", "max-size": "10m"}},
        ),
        (
            {"log-driver": "gelf", "log-opts": {"gelf-address": "udp://x:1"}},
            {"debug": True},
            {"log-driver": "gelf", "log-opts": {"gelf-address": "udp://x:1"}, "debug": True},
        ),
    ],
)
def test_options_go_with_what_they_were_for(
    current: dict[str, t.Any], wanted: dict[str, t.Any], expected: dict[str, t.Any]
) -> None:
    assert docker_config.merge(current, wanted) == expected
