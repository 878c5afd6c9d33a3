# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a kernel, a daemon or a shell does not say is an error with its name, and never a zero."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms.stamps import Frame
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from ansible_collections.vcompare.lab.plugins.module_utils._host import page_cache
from ansible_collections.vcompare.lab.plugins.module_utils._scenarios.experiments import host

PROCESS = host.Process(7, 1, "redis")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Pss: 12 kB\nPss_Anon: 4 kB\n", "Pss_Shmem"),
        ("Rss: 12 kB\n", "Pss_Anon"),
        ("", "Pss_Anon"),
        (None, "process 7"),
    ],
)
def test_memory_that_a_kernel_does_not_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, error: str
) -> None:
    monkeypatch.setattr(host, "_PROC", tmp_path)
    (tmp_path / "7").mkdir()
    if text is not None:
        (tmp_path / "7" / "smaps_rollup").write_text(text)
    with pytest.raises(BackendError, match=error):
        host.proportional_mib([PROCESS], "Pss_Anon", "Pss_Shmem")


def test_a_process_that_ended_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "_PROC", tmp_path)
    assert host.proportional_mib([PROCESS]) == 0


def test_threads_of_the_real_kernel_hold_nothing() -> None:
    # Number 2 is the kernel's own, on every Linux; where a container hides it, there is nothing to read either.
    assert host.proportional_mib([host.Process(2, 1, "kthreadd")], "Pss_Anon", "Pss_Shmem") == 0


def test_a_folder_that_is_not_there_is_not_empty(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="gone"):
        host.allocated_kib([str(tmp_path), str(tmp_path / "gone")])


@pytest.mark.parametrize("lacking", ["Cached", "Shmem", "Buffers"])
def test_a_page_cache_that_is_not_said(tmp_path: Path, lacking: str) -> None:
    lines = {"Cached": 2048, "Shmem": 1024, "Buffers": 1024}
    path = tmp_path / "meminfo"
    path.write_text("".join(f"{name}: {size} kB\n" for name, size in lines.items()))
    assert page_cache.cached_mib(path) == 2
    del lines[lacking]
    path.write_text("".join(f"{name}: {size} kB\n" for name, size in lines.items()))
    with pytest.raises(BackendError, match=lacking):
        page_cache.cached_mib(path)


@pytest.mark.parametrize("missing", ["begin", "end"])
def test_an_instance_without_a_clock(missing: str) -> None:
    frame = Frame(["true"])
    clocks = {"begin": "1.5", "end": "2.5", missing: ""}
    stamps = [f"\036vc:{frame.token}:{name}:{clock}:0\036" for name, clock in clocks.items()]
    frame.feed(b"", "".join(stamps).encode(), 10.0)
    with pytest.raises(BackendError, match="clock"):
        frame.result("x")
