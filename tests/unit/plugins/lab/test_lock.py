# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import hashlib
import json
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._host import node_manifest
from ansible_collections.vcompare.lab.plugins.module_utils._images import image_build, packages
from ansible_collections.vcompare.lab.plugins.module_utils._lab import lock
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import Lab

NODE = {
    "manifest": {"packages": {"xen:amd64": "4.17"}, "files": {"/etc/motd": "0644 0:0 ab"}},
    "facts": {"kernel": "6.1", "cpu_flags": ["fpu", "sse2"]},
    "left_out": {"files": {}},
}


def deb(name: str, folder: Path, version: str = "1") -> tuple[packages.Package, Path]:
    """Make a real package file, with what an index says of it."""
    tree = folder / f"tree-{name}"
    (tree / "DEBIAN").mkdir(parents=True)
    control = (
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\n"
        "Description: nothing\n"
    )
    (tree / "DEBIAN/control").write_text(control, encoding="utf-8")
    path = folder / f"{name}_{version}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(path)],
        check=True,
        capture_output=True,
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    stanza = (
        control
        + f"Priority: required\nFilename: pool/x.deb\nSize: {path.stat().st_size}\nSHA256: {digest}\n"
    )
    return packages.Package(name, version, "all", digest, stanza), path


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "archives").mkdir(parents=True)
    return folder


def test_a_build_s_packages_are_kept(tmp_path: Path, work: Path) -> None:
    one, path = deb("one", tmp_path)
    path.rename(work / "archives" / path.name)
    other, _unused = deb("other", tmp_path)
    (work / packages.AVAILABLE).write_text(one.stanza + "\n" + other.stanza, encoding="utf-8")
    made_of = packages.keep(str(tmp_path), str(work), str(tmp_path))
    (found,) = packages.read(str(tmp_path))
    assert (found.words, found.sha256, found.kept) == ("one 1 all", one.sha256, True)
    assert "Priority: required" in found.stanza and "pool/x.deb" not in found.stanza
    assert packages.sha256(str(tmp_path / "packages" / f"{one.sha256}.deb")) == one.sha256
    assert made_of == packages.pins([found]) != packages.pins([other])
    assert not (work / "archives").exists()


def test_a_package_that_the_index_does_not_know(tmp_path: Path, work: Path) -> None:
    one, path = deb("one", tmp_path)
    path.rename(work / "archives" / path.name)
    (work / packages.AVAILABLE).write_text(
        one.stanza.replace(one.sha256, "0" * 64), encoding="utf-8"
    )
    with pytest.raises(VcompareError, match=r"one_1_all\.deb is not in the mirror's index"):
        packages.keep(str(tmp_path), str(work), str(tmp_path))


def _policy(apt: list[str]) -> str:
    return subprocess.run(
        ["apt-cache", *apt, "policy"], check=True, capture_output=True, text=True
    ).stdout


def test_apt_takes_exactly_what_was_laid_out(tmp_path: Path) -> None:
    one, path = deb("one", tmp_path)
    places = [str(tmp_path / "nowhere"), packages.store(str(tmp_path))]
    (tmp_path / "packages").mkdir()
    path.rename(tmp_path / "packages" / f"{one.sha256}.deb")
    line = packages.lay_out(places, [one], str(tmp_path / "repository"), "bookworm")
    root = tmp_path / "apt"
    for name in ("lists/partial", "archives/partial", "etc"):
        (root / name).mkdir(parents=True)
    (root / "etc/sources.list").write_text(line + "\n", encoding="utf-8")
    (root / "status").touch()
    apt = [
        f"-oDir::State::lists={root}/lists",
        f"-oDir::Cache={root}",
        f"-oDir::State::status={root}/status",
        f"-oDir::Etc::sourcelist={root}/etc/sources.list",
        "-oDir::Etc::sourceparts=/dev/null",
        "-oAPT::Sandbox::User=root",
        "-oAPT::Architecture=amd64",
    ]
    subprocess.run(["apt-get", *apt, "update"], check=True, capture_output=True)
    shown = subprocess.run(
        ["apt-cache", *apt, "policy", "one"], check=True, capture_output=True, text=True
    ).stdout
    assert "Candidate: 1" in shown
    # What mmdebstrap selects by.
    assert "a=bookworm,n=bookworm" in _policy(apt)
    subprocess.run(["apt-get", *apt, "download", "one"], check=True, capture_output=True, cwd=root)
    assert packages.sha256(str(next(root.glob("one_*.deb")))) == one.sha256


def test_packages_that_are_not_kept_or_not_what_they_were(tmp_path: Path) -> None:
    one, path = deb("one", tmp_path)
    with pytest.raises(
        VcompareError, match="1 of 1 packages of the lock are not kept here, one 1 all"
    ):
        packages.require([str(tmp_path)], [one])
    (tmp_path / f"{one.sha256}.deb").write_bytes(path.read_bytes() + b"more")
    with pytest.raises(VcompareError, match="is not what it was"):
        packages.require([str(tmp_path)], [one])
    assert (
        packages.require([str(tmp_path)], [packages.Package("m", "1", "all", "", "", kept=False)])
        == {}
    )


def test_a_pinned_recipe_has_a_folder_of_its_own_and_the_same_plain_key(tmp_path: Path) -> None:
    plain = image_build.Recipe("guest", "bookworm", ("redis",))
    pinned = image_build.Recipe(
        "guest",
        "bookworm",
        ("redis",),
        pinned=(packages.Package("a", "1", "all", "f" * 64),),
        places=("/x",),
    )
    assert pinned.key() != plain.key()
    assert pinned.plain_key() == plain.key() == plain.plain_key()
    folder = tmp_path / pinned.key()
    folder.mkdir()
    (folder / "image.json").write_text(json.dumps({"recipe": plain.key()}), encoding="utf-8")
    assert image_build.standing([str(folder)], plain) is not None
    assert image_build.standing([str(folder)], image_build.Recipe("guest", "trixie", ())) is None


def test_an_image_that_a_lab_stands_on_is_not_built_anew(tmp_path: Path) -> None:
    recipe = image_build.Recipe("guest", "bookworm", ("redis",))
    target = tmp_path / "images" / recipe.key()
    lab = tmp_path / "labs/spare"
    lab.mkdir(parents=True)
    (lab / "state.json").write_text(
        json.dumps({"settings": {"guest_image": str(target)}}), encoding="utf-8"
    )

    def make(*_unused: t.Any) -> dict[str, t.Any]:
        raise AssertionError

    with pytest.raises(VcompareError, match="the lab spare stands on it"):
        image_build.build(str(tmp_path / "images"), recipe, make, anew=True)


@pytest.fixture
def locked(tmp_path: Path) -> tuple[Lab, dict[str, t.Any], lock.Lock]:
    """A lab of two small images, and its lock."""
    settings: dict[str, t.Any] = {"accel": "tcg", "vcpus": 2, "memory_mib": 3072, "outbound": False}
    for kind in ("node", "guest"):
        folder = tmp_path / "images" / f"{kind}-1"
        folder.mkdir(parents=True)
        (folder / "image.json").write_text(
            json.dumps({"recipe": f"{kind}-1", "release": "bookworm"}), encoding="utf-8"
        )
        (folder / "disk").write_bytes(kind.encode() * 100)
        packages.write(str(folder), [packages.Package("one", "1", "all", "a" * 64)])
        settings[f"{kind}_image"] = str(folder)
    lab = Lab(str(tmp_path), "default")
    state = {
        "settings": settings,
        "provisioned": True,
        "nodes": [{"name": "lab-linux"}, {"name": "lab-xen"}],
        "acceleration": {"accel": "tcg", "nested": None, "kvm_cpu": None},
    }
    nodes = {"lab-linux": NODE, "lab-xen": NODE}
    return lab, state, lock.compose(lab, state, nodes)


def test_a_lab_is_what_its_lock_says(locked: tuple[Lab, dict[str, t.Any], lock.Lock]) -> None:
    lab, state, written = locked
    # As it comes back from a file.
    read = lock.check(json.loads(json.dumps(written)))
    now = lock.compose(lab, state, {"lab-linux": NODE, "lab-xen": NODE})
    assert lock.differences(read, now) == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("images", "guest", "files", "disk"), "0" * 64, "level A: guest image, file disk is "),
        (
            ("images", "node", "recipe"),
            "node-2",
            "level A: recipe of the node image is node-1; the lock has node-2",
        ),
        (("lab", "memory_mib"), 2048, "level A: lab memory_mib is 3072; the lock has 2048"),
        (
            ("nodes", "lab-xen", "manifest", "packages", "xen:amd64"),
            "4.14",
            "level B: lab-xen packages xen:amd64 is 4.17; the lock has 4.14",
        ),
        (
            ("nodes", "lab-linux", "manifest", "files", "/etc/new"),
            "0644 0:0 cd",
            "level B: lab-linux files /etc/new is nothing; the lock has 0644 0:0 cd",
        ),
        (
            ("nodes", "lab-linux", "facts", "cpu_flags"),
            ["avx", "fpu"],
            "level C: lab-linux cpu_flags is sse2; the lock has avx",
        ),
        (("acceleration", "accel"), "kvm", "level C: acceleration accel is tcg; the lock has kvm"),
    ],
)
def test_the_difference_is_named(
    locked: tuple[Lab, dict[str, t.Any], lock.Lock], path: tuple[str, ...], value: t.Any, words: str
) -> None:
    _lab, _state, now = locked
    wanted = json.loads(json.dumps(now))
    place: t.Any = wanted
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (found,) = lock.differences(wanted, now)
    assert found.words.startswith(words)


def test_an_image_s_own_difference_is_looked_into(
    locked: tuple[Lab, dict[str, t.Any], lock.Lock], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    lab, state, written = locked
    new = tmp_path / "images/guest-2"
    new.mkdir()
    for name in ("image.json", packages.LIST, "disk"):
        (new / name).write_bytes((tmp_path / "images/guest-1" / name).read_bytes())
    (new / "disk").write_bytes(b"guest" * 99 + b"Guest")
    state["settings"]["guest_image"] = str(new)
    now = lock.compose(lab, state, {"lab-linux": NODE, "lab-xen": NODE})
    found = lock.differences(written, now)
    assert [each.where for each in found] == ["guest image, file disk"]
    assert "differ from byte 495 on" in lock.evidence(
        written, state, found, str(tmp_path / "images")
    )


@pytest.mark.parametrize(
    "broken", [{}, [], {"images": {}}, {"images": {}, "schema": 1}, {"images": {}, "schema": 9}]
)
def test_what_is_no_lock(broken: t.Any) -> None:
    with pytest.raises(VcompareError):
        lock.check(broken)


def test_what_can_not_be_locked(locked: tuple[Lab, dict[str, t.Any], lock.Lock]) -> None:
    lab, state, _written = locked
    with pytest.raises(VcompareError, match="lab-xen did not say"):
        lock.compose(lab, state, {"lab-linux": NODE})
    state["settings"]["outbound"] = True
    with pytest.raises(VcompareError, match="from a mirror"):
        lock.compose(lab, state, {"lab-linux": NODE, "lab-xen": NODE})
    with pytest.raises(VcompareError, match="not there, or not provisioned"):
        lock.compose(lab, {}, {})


def test_files_of_a_tree(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/file").write_text("text", encoding="utf-8")
    (tmp_path / "sub/file").chmod(0o640)
    (tmp_path / "link").symlink_to("sub")
    found = dict(node_manifest.files(str(tmp_path)))
    assert found[f"{tmp_path}/link"].endswith("-> sub")
    assert found[f"{tmp_path}/sub/file"].startswith("0640 ")
    assert found[f"{tmp_path}/sub/file"].endswith(hashlib.sha256(b"text").hexdigest())


def test_this_machine_says_what_it_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its daemons may be there and not run.
    monkeypatch.setattr(
        node_manifest.shutil, "which", lambda name: name if name == "dpkg-query" else None
    )
    found = node_manifest.collect()
    assert found["packages"]["dpkg:amd64"]
    assert "/etc/os-release" in found["files"] and "/etc/machine-id" not in found["files"]
    assert found["sysctls"]["kernel/ostype"] == "Linux"
    assert not any(key.startswith("kernel/random/") for key in found["sysctls"])


def test_a_program_that_fails_is_not_one_that_has_nothing_to_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(node_manifest, "_PAUSE_S", 0.0)
    assert node_manifest._said("no-such-program-at-all") == ""
    assert node_manifest._said("echo", "a") == "a\n"
    with pytest.raises(VcompareError, match=r"sh -c failed 3 times.*: late"):
        node_manifest._said("sh", "-c", "echo late >&2; exit 1")


def test_a_daemon_that_is_off_has_no_images_and_one_that_is_dead_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_manifest, "_PAUSE_S", 0.0)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def programs(state: str, docker: str) -> None:
        for name, script in (("systemctl", f"echo {state}"), ("docker", docker)):
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
            (tmp_path / name).chmod(0o755)

    programs("inactive", "exit 1")
    assert node_manifest._container_images() == []
    programs("active", "echo sha256:b; echo sha256:a")
    assert node_manifest._container_images() == ["sha256:a", "sha256:b"]
    for state in ("failed", "active", ""):
        programs(state, "echo no daemon >&2; exit 1")
        with pytest.raises(VcompareError, match="docker images failed 3 times"):
            node_manifest._container_images()


def test_a_definition_of_libvirt_is_read_without_its_uuid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_manifest, "_XML_FILES", f"{tmp_path}/*.xml")
    for name, uuid, rule in (("a", "1", "accept"), ("b", "2", "accept"), ("c", "1", "drop")):
        (tmp_path / f"{name}.xml").write_text(
            f"<filter name='x'>\n  <uuid>{uuid}</uuid>\n  <rule action='{rule}'/>\n</filter>\n"
        )
    found = [what for _path, what in sorted(node_manifest.files(str(tmp_path)))]
    assert found[0] == found[1] != found[2]


def test_two_networks_that_were_made_alike() -> None:
    one = "<network>\n  <uuid>1-2</uuid>\n  <name>n</name>\n  <mac address='52:54:00:00:00:01'/>\n</network>"
    other = one.replace("1-2", "3-4").replace("00:01", "00:02")
    assert node_manifest.plain_xml(one) == node_manifest.plain_xml(other)
    assert node_manifest.plain_xml(one) != node_manifest.plain_xml(
        other.replace("<name>n", "<name>m")
    )
