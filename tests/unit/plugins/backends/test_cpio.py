# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Archives are read back by cpio itself."""

from __future__ import annotations

import gzip
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import cpio, seed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

needs_cpio = pytest.mark.skipif(shutil.which("cpio") is None, reason="there is no cpio")


def unpack(archive: bytes, folder: Path) -> None:
    subprocess.run(
        ["cpio", "-id", "--quiet", "--no-absolute-filenames"],
        input=archive,
        cwd=folder,
        check=True,
        capture_output=True,
    )


@needs_cpio
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.dictionaries(
        st.text("abcdefgh_.", min_size=1, max_size=30).filter(lambda n: set(n) != {"."}),
        st.binary(max_size=200),
        max_size=6,
    )
)
def test_cpio_reads_back_what_was_written(tmp_path: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    (tmp_path / "out").mkdir()
    unpack(cpio.archive("the-seed", files), tmp_path / "out")
    found = {path.name: path.read_bytes() for path in (tmp_path / "out/the-seed").iterdir()}
    assert found == files
    for path in (tmp_path / "out/the-seed").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "out/the-seed").stat().st_mode) == 0o700


@needs_cpio
def test_listing_is_the_folder_and_its_files() -> None:
    archive = cpio.archive("s", {"b": b"12345", "a": b""})
    listed = subprocess.run(["cpio", "-t"], input=archive, check=True, capture_output=True)
    assert listed.stdout.decode().split() == ["s", "s/a", "s/b"]


def test_a_path_is_refused() -> None:
    with pytest.raises(ValueError, match="plain file name"):
        cpio.archive("s", {"../etc/passwd": b""})


@pytest.mark.parametrize("extra", range(4))
def test_the_seed_follows_the_base_at_a_multiple_of_four(tmp_path: Path, extra: int) -> None:
    base = gzip.compress(cpio.archive("base", {"x": b"y" * 100}), mtime=0) + b"\0" * extra
    (tmp_path / "base").write_bytes(base)
    seed.write_initrd(str(tmp_path / "base"), str(tmp_path / "out"), {"env": b"A='b'\n"})
    written = (tmp_path / "out").read_bytes()
    assert written.startswith(base)
    start = written.index(b"070701", len(base))
    assert start % 4 == 0
    assert not written[len(base) : start].strip(b"\0")
    assert written[start:] == cpio.archive(seed.FOLDER, {"env": b"A='b'\n"})
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600
