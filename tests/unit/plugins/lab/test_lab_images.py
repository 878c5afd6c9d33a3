# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""File systems, seeds and the cache of images, with the real tools."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core import command
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._images import (
    capacity,
    filesystem,
    image_build,
)
from ansible_collections.vcompare.lab.plugins.module_utils._lab import seed_disk

needs_mke2fs = pytest.mark.skipif(
    not (shutil.which("mke2fs") or os.path.exists("/sbin/mke2fs")), reason="needs e2fsprogs"
)
needs_keygen = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs openssh-client")


def tree(folder: Path) -> Path:
    (folder / "etc").mkdir(parents=True)
    for number in range(40):
        (folder / "etc" / f"file{number}").write_text("x" * number * 100)
    (folder / "etc" / "link").symlink_to("file1")
    for path in sorted(folder.rglob("*")):
        os.utime(path, (image_build.EPOCH, image_build.EPOCH), follow_symlinks=False)
    os.utime(folder, (image_build.EPOCH, image_build.EPOCH))
    return folder


@needs_mke2fs
@pytest.mark.parametrize("offset", [0, filesystem.PARTITION_OFFSET])
def test_a_file_system_made_twice_has_the_same_bytes(tmp_path: Path, offset: int) -> None:
    digests = []
    for name in ("a", "b"):
        source = tree(tmp_path / name)
        image = tmp_path / f"{name}.img"
        filesystem.make_ext4(
            str(image),
            str(source),
            size_mib=32,
            name="same",
            epoch=image_build.EPOCH,
            offset=offset,
        )
        digests.append(hashlib.sha256(image.read_bytes()).hexdigest())
        # mke2fs copies the change times of the source, which differ by this
        time.sleep(1.1)
    assert digests[0] == digests[1]


@needs_mke2fs
def test_a_file_system_is_whole_and_holds_the_tree(tmp_path: Path) -> None:
    image = tmp_path / "x.img"
    filesystem.make_ext4(
        str(image), str(tree(tmp_path / "t")), size_mib=32, name="whole", epoch=image_build.EPOCH
    )
    check = subprocess.run(["/sbin/e2fsck", "-fn", str(image)], capture_output=True, check=False)
    assert check.returncode == 0, check.stdout
    listing = subprocess.run(
        ["/sbin/debugfs", "-R", "cat /etc/file7", str(image)], capture_output=True, check=True
    )
    assert listing.stdout == b"x" * 700


def test_the_partition_table_is_one_that_others_read(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    filesystem.partition(str(disk), 64)
    raw = disk.read_bytes()[:512]
    assert raw[510:] == b"\x55\xaa"
    if shutil.which("sfdisk"):
        listed = subprocess.run(["sfdisk", "--dump", str(disk)], capture_output=True, check=True)
        assert b"start=        2048, size=      131072, type=83, bootable" in listed.stdout


@needs_keygen
def test_a_seed_gives_a_node_its_name_and_keys_and_no_private_client_key(tmp_path: Path) -> None:
    keys = seed_disk.Keys(str(tmp_path / "keys"))
    keys.make(("lab-linux",))
    disk = tmp_path / "seed"
    seed_disk.write(str(disk), keys, "lab-linux")
    assert disk.stat().st_mode & 0o777 == 0o600
    with tarfile.open(disk) as tar:
        content = {
            m.name: (m, t.cast("t.IO[bytes]", tar.extractfile(m)).read()) for m in tar if m.isfile()
        }
    assert content["etc/hostname"][1] == b"lab-linux\n"
    assert content["etc/ssh/ssh_host_ed25519_key"][0].mode == 0o600
    public = keys.public(keys.client).encode()
    assert public in content["root/.ssh/authorized_keys"][1]
    private = Path(keys.client).read_bytes()
    assert private not in disk.read_bytes()
    assert Path(keys.client).stat().st_mode & 0o077 == 0


@needs_keygen
def test_keys_are_made_once_and_half_a_pair_again(tmp_path: Path) -> None:
    keys = seed_disk.Keys(str(tmp_path / "keys"))
    keys.make(("n",))
    before = keys.public(keys.client)
    keys.make(("n",))
    assert keys.public(keys.client) == before
    Path(keys.client + ".pub").unlink()
    keys.make(("n",))
    assert keys.public(keys.client) != before


def recipe(**changes: t.Any) -> image_build.Recipe:
    return image_build.Recipe(
        **{"kind": "guest", "release": "bookworm", "packages": ("a",), **changes}
    )


def test_a_recipe_is_another_when_anything_in_it_changes() -> None:
    keys = {
        recipe().key(),
        recipe(packages=("a", "b")).key(),
        recipe(release="trixie").key(),
        recipe(files=(image_build.File("/x", "1"),)).key(),
        recipe(files=(image_build.File("/x", "2"),)).key(),
        recipe(hooks=("true",)).key(),
        recipe(settings={"fstab": "x"}).key(),
    }
    assert len(keys) == 7
    assert recipe().key() == recipe().key()


def test_a_build_that_fails_leaves_nothing_and_one_that_works_is_kept(tmp_path: Path) -> None:
    calls = []

    def make(_recipe: image_build.Recipe, folder: str, _work: str) -> dict[str, t.Any]:
        calls.append(folder)
        Path(folder, "part").write_text("x")
        if len(calls) == 1:
            raise VcompareError("no mirror")
        return {"digest": "d"}

    with pytest.raises(VcompareError):
        image_build.build(str(tmp_path), recipe(), make)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    assert image_build.build(str(tmp_path), recipe(), make)["digest"] == "d"
    assert image_build.build(str(tmp_path), recipe(), make)["digest"] == "d"
    assert len(calls) == 2


def test_a_killed_build_is_cleared_away_by_the_next(tmp_path: Path) -> None:
    scratch = tmp_path / (recipe().key() + ".partial")
    scratch.mkdir()
    (scratch / "old").write_text("x")
    done = image_build.build(str(tmp_path), recipe(), lambda _r, _f, _w: {"digest": "d"})
    assert not scratch.exists()
    assert not Path(done["folder"], "old").exists()


def test_too_little_room_names_option_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(VcompareError) as caught:
        capacity.require(
            str(tmp_path / "not" / "yet"),
            memory=10**9,
            disk=1,
            what="A lab",
            memory_option="opt_mib",
        )
    assert "opt_mib" in caught.value.remedy
    with pytest.raises(VcompareError) as caught:
        capacity.require(str(tmp_path), memory=1, disk=10**9, what="A lab", memory_option="opt_mib")
    assert "VCOMPARE_HOME" in caught.value.remedy
    capacity.require(str(tmp_path), memory=1, disk=1, what="A lab", memory_option="opt_mib")


def test_why_a_build_failed_is_said_also_when_its_rest_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(recipe: image_build.Recipe, folder: str, work: str) -> dict[str, t.Any]:
        def stuck(path: str) -> None:
            raise VcompareError(f"removing {path}: it can't be")

        monkeypatch.setattr(image_build, "remove_tree", stuck)
        raise VcompareError("the disk is full")

    recipe = image_build.Recipe("guest", "bookworm", ())
    with pytest.raises(VcompareError, match="the disk is full"):
        image_build.build(str(tmp_path), recipe, fails)


def test_system_tools_are_found_by_users_without_their_folders_in_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    seen = command.run(["sh", "-c", 'echo "$PATH"'], "looking").strip().split(":")
    assert seen[:2] == ["/usr/bin", "/bin"]
    assert {"/usr/sbin", "/sbin"} <= set(seen)


_AS_A_USER = """
import os, sys, tarfile
from ansible_collections.vcompare.lab.plugins.module_utils._images import filesystem, image_build
work = sys.argv[1]
with tarfile.open(work + "/root.tar", "w", format=tarfile.GNU_FORMAT) as tar:
    for name, owner in (("./", 0), ("./mine", 0), ("./theirs", 42)):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, 0o700, owner, owner
        tar.addfile(entry)
image_build.unpack(work + "/root.tar", work + "/tree")
filesystem.make_ext4(work + "/fs", work + "/tree", size_mib=8, name="t", epoch=image_build.EPOCH,
                     journal=False, prefix=image_build.as_builder())
image_build.remove_tree(work + "/tree")
assert os.geteuid() != 0 and not os.path.lexists(work + "/tree")
"""


# Run by root in a mount namespace of its own: there, a user has subordinate ids, and can reach the
# checkout and this Python even if they are in root's home. The machine's /etc/subuid stays as it is.
_PREPARED = """
set -e
user=$1 work=$2
shift 2
echo "$user:100000:65536" >"$work/ids"
mount --bind "$work/ids" /etc/subuid
mount --bind "$work/ids" /etc/subgid
for place in checkout python; do
    mkdir -p "$work/$place"
    mount --bind -o ro "$1" "$work/$place"
    shift
done
exec setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups -- "$@"
"""


@needs_mke2fs
def test_a_user_without_root_makes_a_file_system_with_its_owners() -> None:
    """As root, as a user with subordinate ids; else as who we are, who needs some (/etc/subuid)."""
    if shutil.which("newuidmap") is None:
        pytest.skip("needs newuidmap (Debian: uidmap)")
    checkout, python = str(Path(__file__).resolve().parents[4]), os.path.realpath(sys.base_prefix)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as work:
        as_user, program, path = [], sys.executable, ":".join(sys.path)
        if os.geteuid() == 0:
            shutil.chown(work, "nobody")
            as_user = [
                "unshare",
                "--mount",
                "sh",
                "-c",
                _PREPARED,
                "sh",
                "nobody",
                work,
                checkout,
                python,
            ]
            path = path.replace(checkout, f"{work}/checkout")
            program = os.path.realpath(program).replace(python, f"{work}/python")
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": path}
        mapped = subprocess.run(
            [*as_user, "unshare", "--map-root-user", "--map-auto", "true"],
            env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if mapped.returncode:
            pytest.skip(f"no user namespaces here: {mapped.stderr.strip()}")
        done = subprocess.run(
            [*as_user, program, "-c", _AS_A_USER, work],
            env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        listed = command.run(["debugfs", "-R", "ls -l /", f"{work}/fs"], "listing")
    owners = {row.split()[-1]: row.split()[3] for row in listed.splitlines() if row.strip()}
    assert (owners["mine"], owners["theirs"]) == ("0", "42")


def test_a_folder_is_in_an_archive_once(tmp_path: Path) -> None:
    tar = tmp_path / "root.tar"
    with tarfile.open(tar, "w") as archive:
        archive.addfile(tarfile.TarInfo("./etc"))
    for _again in range(2):
        image_build.have_folder(str(tar), "./dev")
    with tarfile.open(tar) as archive:
        assert archive.getnames() == ["./etc", "./dev"]
