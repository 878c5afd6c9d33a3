# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Versions of a state, images that are built, and instances that shall be the same: on folders of this machine."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import (
    docker_making,
    machine_making,
    making,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import (
    InstanceSpec,
    Result,
)
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import (
    consistency,
    image_build,
    image_history,
)
from hypothesis import given
from hypothesis import strategies as st

from .conftest import DIGEST, Arms
from .test_experiments import evidence_of, quiet_host, samples

__all__ = ["quiet_host"]


class Folders:
    """Versions that are copies of a folder."""

    goes_on = False

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        self.place = str(home / "state")
        self.begin = f"mkdir -p {self.place}"
        self.forgets = False

    def changes(self, version: str = "") -> dict[str, Any]:
        if version and not self.forgets:
            shutil.rmtree(self.place)
            shutil.copytree(self.home / version, self.place)
        return {}

    def keep(self, name: str, version: str, timeout_s: float) -> None:
        shutil.copytree(self.place, self.home / version)

    def size(self, version: str) -> int:
        return (self.home / version / "state").stat().st_size

    def listed(self, version: str) -> list[str]:
        return [f"{path.name}: its state" for path in sorted(self.home.glob("v?"), reverse=True)]

    def moved(self, version: str, timeout_s: float) -> tuple[str, str]:
        return "sha256:1", "sha256:1"


@pytest.fixture
def folders(local_arms: Arms, tmp_path: pathlib.Path) -> Folders:
    made = Folders(tmp_path)
    local_arms["docker"].versions = lambda spec, names: made  # type: ignore[method-assign,assignment,return-value]
    return made


def values(found: Mapping[tuple[str, str], Mapping[str, object]]) -> dict[str, object]:
    return {metric: sample["value"] for (metric, _variant), sample in found.items()}


def test_versions_are_kept_listed_and_found_again(local_arms: Arms, folders: Folders) -> None:
    result, found = samples(local_arms, "image-history")
    got = values(found)
    assert {sample["status"] for sample in found.values()} == {"ok"}
    assert got.pop("commit_time")
    assert got == {
        "bytes_per_commit": image_history.STATE_BYTES,
        "history_listed": 1,
        "rolled_back": 1,
        "same_digest_elsewhere": 1,
    }
    assert "v1" in evidence_of(result, found["rolled_back", "minimal"])
    # One for each version, and one that stands on the first: each is gone before the next.
    assert local_arms["docker"].log.count("create") == 5


def test_an_earlier_version_that_is_not_there_is_no_roll_back(
    local_arms: Arms, folders: Folders
) -> None:
    folders.forgets = True
    assert values(samples(local_arms, "image-history")[1])["rolled_back"] == 0


def test_each_version_has_another_state(tmp_path: pathlib.Path) -> None:
    def shell(script: str) -> str:
        return subprocess.run(
            ["/bin/sh", "-c", script], capture_output=True, text=True, check=True
        ).stdout

    said = {version: shell(image_history.written(str(tmp_path), version)) for version in "ab"}
    assert len(set(said.values())) == 2
    assert (tmp_path / "state").stat().st_size == image_history.STATE_BYTES
    assert shell(image_history.read(str(tmp_path))).split()[:2] == ["b", said["b"].split()[0]]


@given(st.permutations(["v3: its state", "v2: its state", "v1", ""]))
def test_a_history_is_one_in_its_order_only(said: Sequence[str]) -> None:
    named = [each[:2] for each in said if each]
    assert image_history.in_order(said) == (named == ["v3", "v2", "v1"])
    assert not image_history.in_order([*said, "v1"])


def test_lines_of_a_recipe_are_those_that_say_something() -> None:
    assert making.lines("# why\n\nFROM a\n  \nRUN b # c\n") == 2
    for recipe in (docker_making.DOCKERFILE, machine_making.RECIPE):
        # Both take the same two steps.
        assert "install.sh" in recipe
        assert "compile.sh" in recipe
        assert making.lines(recipe) == len(recipe.splitlines())


def test_what_is_built_counts_programs(tmp_path: pathlib.Path) -> None:
    def here(text: str) -> str:
        return text.replace("/opt/answer", f"{tmp_path}/opt").replace(
            "/usr/src/", f"{tmp_path}/src/"
        )

    sources = image_build.sources("hello")
    for folder in ("installed", "compiled"):
        (tmp_path / "src" / folder).mkdir(parents=True)
        for path, text in getattr(sources, folder).items():
            (tmp_path / "src" / folder / path).write_text(here(text))
    for script in ("installed/install.sh", "compiled/compile.sh"):
        subprocess.run(["/bin/sh", str(tmp_path / "src" / script)], check=True)
    answer = subprocess.run(
        [str(tmp_path / "opt/answer")], capture_output=True, text=True, check=True
    )
    count = subprocess.run(
        image_build._COUNT, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert answer.stdout == f"hello: {count} programs\n"


class Builds:
    """A builder that only remembers."""

    recipe = "FROM nothing\n\n# a word\nRUN it\n"

    def __init__(self) -> None:
        self.built: list[tuple[str, str, bool]] = []
        self.answers = ""

    def build(self, tag: str, sources: making.Sources, *, clean: bool, timeout_s: float) -> None:
        greeting = re.findall("'(.*)'", sources.compiled["greeting.sh"])[0]
        self.built.append((tag, greeting, clean))

    def changes(self, tag: str) -> dict[str, Any]:
        return {}


def test_a_build_counts_when_what_it_built_answers(local_arms: Arms) -> None:
    arm, builds = local_arms["docker"], Builds()
    arm.builder = lambda spec: builds  # type: ignore[method-assign,assignment,return-value]
    arm.outputs["/bin/sh -c ls /usr/bin"] = Result(0, "7\n", "", 0.1, 0.1, (0.0, 0.1, 0.0))
    run = arm.run

    def answers(name: str, argv: Sequence[str], timeout_s: float) -> Result:
        if argv[0] != "/opt/answer/answer":
            return run(name, argv, timeout_s)
        text = builds.answers or f"{builds.built[-1][1]}: 7 programs"
        return Result(0, f"{text}\n", "", 0.1, 0.1, (0.0, 0.1, 0.0))

    arm.run = answers  # type: ignore[method-assign]
    _result, found = samples(local_arms, "image-build")
    assert builds.built == [
        ("first", "one", True), ("second", "one", True), ("changed", "another", False),
    ]  # fmt: skip
    assert values(found)["recipe_lines"] == 2
    assert values(found)["same_result_twice"] == 1
    # An old answer after a change is not a build.
    builds.answers = "one: 7 programs"
    _result, found = samples(local_arms, "image-build")
    assert {sample["status"] for sample in found.values()} == {"failed"}
    assert "(changed)" in str(found["rebuild_time", "minimal"]["reason"])


def test_facts_are_read_by_a_shell() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", consistency.script()], capture_output=True, text=True, check=True
    )
    found = consistency.parse(done.stdout)
    assert set(found) == set(consistency.FACTS)
    assert found["kernel"].startswith("Linux")
    assert consistency.different(found, found) == []
    assert consistency.different(found, {**found, "processors": "0"}) == ["processors"]
    assert consistency.different(found, {}) == sorted(found)


@pytest.mark.parametrize("notices", [True, False])
def test_what_is_planted_must_be_found(local_arms: Arms, notices: bool) -> None:
    arm = local_arms["docker"]
    planted: list[str] = []
    run = arm.run

    def tree(name: str, argv: Sequence[str], timeout_s: float) -> Result:
        said = None
        if argv[:2] == ["/bin/sh", "-c"] and argv[2] in consistency.PLANTED.values():
            planted.extend(
                path for path, command in consistency.PLANTED.items() if command == argv[2]
            )
            said = ""
        elif argv[-1] == consistency._LISTING:
            changed = planted if notices else planted[:1]
            said = "".join(f"{path} f 644\n" for path in ["./a", *changed])
        elif argv[-1] == "--quick":
            said = f"{len(planted)}\n"
        return (
            run(name, argv, timeout_s)
            if said is None
            else Result(0, said, "", 0.1, 0.1, (0.0, 0.1, 0.0))
        )

    def declared(name: str, argv: Sequence[str], timeout_s: float) -> Result:
        # The block's own look at the digest comes first, and is another one's test.
        return tree(name, argv, timeout_s) if "-other" in name else run(name, argv, timeout_s)

    arm.run = declared  # type: ignore[method-assign]
    result, found = samples(local_arms, "consistency")
    assert values(found) == {"same_digest": 1, "same_facts": 1, "drift_found": float(notices)}
    assert sorted(planted) == sorted(consistency.PLANTED)
    assert DIGEST in evidence_of(result, found["same_digest", "minimal"])


def test_an_instance_that_is_another_one_is_noticed(local_arms: Arms) -> None:
    arm = local_arms["docker"]
    run = arm.run

    def other(name: str, argv: Sequence[str], timeout_s: float) -> Result:
        if "-other" in name and argv[0] == "/usr/lib/vcompare/digest":
            return Result(0, "sha256:another\n", "", 0.1, 0.1, (0.0, 0.1, 0.0))
        if argv[-1] == consistency._LISTING or argv[-1] in consistency.PLANTED.values():
            return Result(0, "", "", 0.1, 0.1, (0.0, 0.1, 0.0))
        return run(name, argv, timeout_s)

    arm.run = other  # type: ignore[method-assign]
    _result, found = samples(local_arms, "consistency")
    assert values(found)["same_digest"] == 0
    assert values(found)["drift_found"] == 0


@pytest.mark.parametrize("scenario", ["image-history", "image-build"])
def test_an_arm_that_can_not_says_so(local_arms: Arms, scenario: str) -> None:
    result, found = samples(local_arms, scenario)
    assert {sample["status"] for sample in found.values()} == {"refused"}
    assert all("plain processes" in str(sample["reason"]) for sample in found.values())
    assert result["arms"][0]["status"] == "ok"
    _result, found = samples(local_arms, scenario, company=False)
    assert not found


def test_layers_of_a_disk_are_kept_and_moved(tmp_path: pathlib.Path) -> None:
    for tool in ("qemu-img", "mke2fs"):
        if shutil.which(tool, path="/usr/bin:/usr/sbin") is None:
            pytest.skip(f"{tool} is not installed")

    class Store:
        def folder(self, name: str) -> str:
            return str(tmp_path)

    class Machine:
        store, data_device = Store(), "/dev/vdb"

        def __init__(self) -> None:
            self.switched: list[str] = []

        def with_disk(self, path: str) -> dict[str, Any]:
            return {"disk": path}

        def switch_disk(self, name: str, path: str, place: str, timeout_s: float) -> None:
            self.switched.append(path)

    machine, spec = Machine(), InstanceSpec(name="vc-a", options={"cpu_mode": "maximum"})
    versions = machine_making.DiskVersions(machine, spec, image_history.VERSIONS)  # type: ignore[arg-type]
    disk = versions.changes()["options"]
    assert disk["cpu_mode"] == "maximum"
    written = disk["disk"]
    for number, version in enumerate(image_history.VERSIONS):
        write = ["qemu-io", "-f", "qcow2", "-c", f"write -P {number + 1} 1M 1M", written]
        subprocess.run(write, check=True, capture_output=True)
        versions.keep("vc-a", version, 10)
        written = machine.switched[-1]
    assert image_history.in_order(versions.listed("v3"))
    assert versions.listed("v3")[-1] == "base"
    assert all(versions.size(version) >= 1 << 20 for version in image_history.VERSIONS)
    before, after = versions.moved("v3", 60)
    assert before == after
    on_first = versions.changes("v1")["options"]["disk"]
    look = ["qemu-io", "-f", "qcow2", "-c", "read -P 1 1M 1M", on_first]
    said = subprocess.run(look, check=True, capture_output=True, text=True).stdout
    assert "verification failed" not in said
