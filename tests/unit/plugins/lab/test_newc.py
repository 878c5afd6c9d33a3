# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What differs between two initial file systems of the same files is taken out, and nothing else."""

from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._images import newc
from ansible_collections.vcompare.lab.plugins.module_utils._images.newc import timeless


def packed(folder, moment):
    folder.mkdir()
    (folder / "init").write_text("#!/bin/sh\n")
    (folder / "init").chmod(0o755)
    os.link(folder / "init", folder / "same")
    (folder / "odd").write_text("12345")
    (folder / "link").symlink_to("odd")
    for name in ("init", "odd"):
        os.utime(folder / name, (moment, moment))
    names = "init\nlink\nodd\nsame\n"
    return subprocess.run(
        ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"],
        input=names.encode(),
        cwd=folder,
        check=True,
        capture_output=True,
    ).stdout


def test_two_packings_of_the_same_files_become_one(tmp_path):
    first, second = packed(tmp_path / "a", 1000), packed(tmp_path / "b", 2000)
    assert first != second
    assert timeless(first, 1735689600) == timeless(second, 1735689600)


def test_what_it_holds_stays(tmp_path):
    archive = timeless(packed(tmp_path / "a", 1000), 1735689600)
    there = tmp_path / "there"
    there.mkdir()
    subprocess.run(["cpio", "--quiet", "-idm"], input=archive, cwd=there, check=True)
    assert (there / "odd").read_text() == "12345" and os.readlink(there / "link") == "odd"
    assert os.path.samefile(there / "init", there / "same")
    assert os.access(there / "init", os.X_OK)
    assert (there / "odd").stat().st_mtime == 1735689600


@pytest.mark.parametrize("broken", [b"", b"\x1f\x8b" + b"0" * 200, b"070701"])
def test_what_is_no_archive_is_refused(broken):
    with pytest.raises(VcompareError, match="not an entry of the format newc"):
        timeless(broken, 0)


def test_a_second_archive_behind_the_first_is_refused(tmp_path):
    archive = packed(tmp_path / "a", 1000)
    with pytest.raises(VcompareError, match="more than one archive"):
        timeless(archive + archive, 0)


@pytest.mark.parametrize("padding", [b"", b"\0" * 512])
def test_an_initrd_of_debian_13_is_split_where_its_compressed_part_begins(tmp_path, padding):
    plain = packed(tmp_path / "a", 1000)
    compressed = subprocess.run(
        ["gzip", "-n"], input=packed(tmp_path / "b", 1), check=True, capture_output=True
    ).stdout
    found, rest = newc.first(plain + padding + compressed)
    assert (found, rest) == (plain + padding, compressed)
    assert len(timeless(found, 5)) == len(found)


def test_an_initrd_of_one_compressed_part_has_nothing_before_it():
    assert newc.first(b"\x1f\x8bpacked") == (b"", b"\x1f\x8bpacked")


def test_an_archive_that_does_not_end_is_refused(tmp_path):
    with pytest.raises(VcompareError, match="not an entry of the format newc"):
        newc.first(packed(tmp_path / "a", 1000)[:150])
