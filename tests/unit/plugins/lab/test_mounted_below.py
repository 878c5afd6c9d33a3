# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A folder that is removed while something of the machine is mounted in it: what is mounted stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._host import mounts

# In a mount namespace of its own, where root of a user namespace may mount as well.
_MOUNTS = """
set -e
mkdir -p "$1/tree/deep/two words" "$1/tree/proc" "$1/machine"
echo kept >"$1/machine/file"
: >"$1/tree/null"
mount --bind "$1/machine" "$1/tree/deep/two words"
mount --bind /dev/null "$1/tree/null"
mount -t tmpfs none "$1/tree/proc"
exec "$2" -c "$3" "$1"
"""
_REMOVE_TREE = """
import os, sys
from ansible_collections.vcompare.lab.plugins.module_utils._images import image_build
image_build.remove_tree(sys.argv[1] + "/tree")
assert not os.path.lexists(sys.argv[1] + "/tree")
"""
_STORE = """
import sys
from ansible_collections.vcompare.lab.plugins.module_utils._arms.store import Store
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
class Here(Store):
    def folder(self, name):
        return sys.argv[1] + "/tree"
try:
    Here.__new__(Here).remove("x")
except Exception as error:
    assert "is still mounted" in str(error), error
else:
    raise SystemExit("the folder was removed through a mount")
"""


@pytest.mark.parametrize("program", [_REMOVE_TREE, _STORE], ids=["image build", "instances"])
def test_what_is_mounted_in_a_folder_survives_its_removal(tmp_path: Path, program: str) -> None:
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    done = subprocess.run(
        [*unshare, "sh", "-c", _MOUNTS, "sh", str(tmp_path), sys.executable, program],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "machine" / "file").read_text() == "kept\n"
    assert Path("/dev/null").is_char_device()


def test_mounts_are_named_deepest_first_and_by_whole_names(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    lines = [
        f"1 2 0:3 / {place} rw - tmpfs none rw" for place in (r"/a", r"/a/b", r"/a/b\040c", "/ab")
    ]
    table.write_text("\n".join(lines) + "\n")
    assert mounts.below("/a", str(table)) == ["/a/b c", "/a/b", "/a"]
