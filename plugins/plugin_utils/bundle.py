# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes the bundle of a run on the controller (docs/contracts.md, "Bundle").

What has been written stays written: a crash at any moment costs the block that was being written
and nothing else. A block's samples and proofs are appended first and its line in ``blocks.jsonl``
last; before that, the sizes of the files are noted in a small journal. Whoever comes next finds the
journal of an append that never came to its end, and takes the half block out of the files again. It
is moved to ``events/``, since it is evidence of a sort.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import re
import secrets
import typing as t
from pathlib import Path

from ansible_collections.vcompare.lab.plugins.module_utils._contract.ids import utc_now
from ansible_collections.vcompare.lab.plugins.plugin_utils import chain

SCHEMA = 1
_FOLDERS = ("facts", "raw", "events", "report")
_LINES = ("samples.jsonl", "proofs.jsonl", "blocks.jsonl")
_JOURNAL = "events/append.json"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")
_TURNS = "turns.jsonl"

Record = dict[str, t.Any]


class BundleError(Exception):
    """A bundle can't be used; the text says what differs or is wrong, and what to do."""


def new_seed() -> int:
    """A seed, small enough for any JSON reader."""
    return secrets.randbelow(2**31)


@dataclasses.dataclass(frozen=True)
class Bundle:
    """The folder of one run."""

    path: Path

    # The run as a whole

    def open(self, manifest: Record) -> tuple[Record, bool]:
        """Make the bundle, or go on with one that is there.

        :param manifest: what the run shall be; a ``seed`` of None is drawn, or taken from the bundle.
        :return: the manifest that counts, and whether the run is resumed.
        :raises BundleError: when the bundle that is there is of another kind of run.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700, exist_ok=True)
        # Also when an earlier umask was generous: raw output may tell a lot about a host.
        self.path.chmod(0o700)
        for name in _FOLDERS:
            (self.path / name).mkdir(mode=0o700, exist_ok=True)
        with self._locked():
            self._undo_half_append()
            there = self._manifest()
            if there is not None:
                self._refuse_other(there, manifest)
                if there.get("stopped") == "budget":
                    # It goes on, and has no end again: an interruption must not look like lines taken away.
                    there |= {"finished_at": None, "stopped": None}
                    there.pop("last_block_sha256", None)
                    self._write_json("manifest.json", there)
                return there, True
            made = {
                "schema": SCHEMA,
                "run": manifest["run"],
                "created_at": utc_now(),
                "finished_at": None,
                **manifest,
            }
            if made.get("seed") is None:
                made["seed"] = new_seed()
            self._write_json("manifest.json", made)
            return made, False

    def close(self, stopped: str | None = None) -> tuple[Record, list[str]]:
        """Note that the run has come to its end, if it has.

        :param stopped: why there are no more blocks: ``blocks`` (all that there shall be),
            ``narrow`` (every open claim's interval is) or ``budget`` (the time was up).
        :return: the manifest, and the blocks that are missing; with any, the run is not finished.
        """
        with self._locked():
            manifest = self._manifest()
            if manifest is None:
                raise BundleError(f"{self.path} has no manifest.json: open the bundle first")
            self._undo_half_append()
            missing = self._missing(manifest)
            if not missing:
                manifest["finished_at"] = utc_now()
                manifest["stopped"] = stopped or "blocks"
                # Only with this a last line that was taken away later is missed.
                manifest["last_block_sha256"] = chain.previous_of(
                    self._last_line(), manifest["run"]
                )
                self._write_json("manifest.json", manifest)
            return manifest, missing

    def _missing(self, manifest: Record) -> list[str]:
        hosts = dict.fromkeys(arm["host"] for arm in manifest["arms"])
        done = {(line["block"], line["host"]) for line in self._blocks()}
        # A block that was begun on one host is to be measured on all: arms are compared within it.
        last = max([int(manifest["profile"]["blocks"]), *(block for block, _host in done)])
        return [
            f"block {block} of {host}"
            for block in range(1, last + 1)
            for host in hosts
            if (block, host) not in done
        ]

    def write_facts(self, host: str, facts: Record) -> None:
        """Write what is known of a host."""
        self._write_json(f"facts/{file_name(host)}.json", {**facts, "host": host})

    def _manifest(self) -> Record | None:
        try:
            text = (self.path / "manifest.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            manifest = json.loads(text)
        except ValueError as error:
            raise BundleError(f"{self.path}/manifest.json is not JSON ({error})") from None
        return t.cast(Record, manifest)

    def _refuse_other(self, there: Record, wanted: Record) -> None:
        """A run goes on with what it began with; anything else would mix two experiments."""
        differences = [
            f"{what} was {old!r} and shall be {new!r}"
            for what, old, new in _comparable(there, wanted)
            if old != new
        ]
        if differences:
            raise BundleError(
                f"the run {there.get('run')} in {self.path} can't be resumed: "
                + "; ".join(differences)
                + ". Give the same settings again, or another vcompare_run."
            )

    # Blocks

    def rounds(self) -> dict[int, set[str]]:
        """Return the hosts that have finished a block, by the block's number."""
        found: dict[int, set[str]] = {}
        for line in self._blocks():
            found.setdefault(line["block"], set()).add(line["host"])
        return found

    def measuring_s(self, block: int | None = None) -> float:
        """Return how long was measured, in seconds; breaks between two sessions don't count.

        The length of what the times of blocks, and of boots between them, cover together: hosts may be measured
        at once.

        :param block: of this one alone; 0.0 when it was not measured.
        """
        spans, other = [], 0.0
        for line in self._blocks():
            if block is not None and line["block"] != block:
                continue
            clock = (line.get("clocks") or {}).get("controller") or {}
            if "sent_at_s" in clock:
                spans.append(
                    (clock["sent_at_s"], clock["sent_at_s"] + line["controller_elapsed_s"])
                )
            else:
                other += line["controller_elapsed_s"]
        for turn in self._lines(_TURNS) if block is None else ():
            spans.append((turn["began_at_s"], turn["began_at_s"] + turn["elapsed_s"]))
        total, until = 0.0, float("-inf")
        for began, ended in sorted(spans):
            total += max(0.0, ended - max(began, until))
            until = max(until, ended)
        return total + other

    def turned(self, turn: Record) -> None:
        """Note that a host was booted into its other system, or that it could not be.

        :param turn: ``host`` (as in the inventory), ``boot``, ``began_at_s`` (since 1970), ``elapsed_s``, and
            ``reason`` (None where it succeeded).
        """
        with self._locked():
            self._cut(_TURNS, self._whole_lines(_TURNS))
            run = self.path.name
            self._append(_TURNS, _as_lines([{"run": run, "at": utc_now(), **turn}]))

    def turn_s(self) -> float:
        """Return the longest time that a boot into another system took, in seconds; 0.0 without one."""
        return max((turn["elapsed_s"] for turn in self._lines(_TURNS)), default=0.0)

    def finished(self, block: int, host: str) -> Record | None:
        """Return the line of a finished block, or None."""
        lines = self._blocks()
        return next((r for r in lines if r["block"] == block and r["host"] == host), None)

    def _blocks(self) -> list[Record]:
        return self._lines("blocks.jsonl")

    def _lines(self, name: str) -> list[Record]:
        try:
            text = (self.path / name).read_bytes()
        except FileNotFoundError:
            return []
        # What is behind the last end of line was not written to its end.
        return [json.loads(line) for line in text.split(b"\n")[:-1] if line.strip()]

    def append(
        self,
        measured: Record,
        controller_elapsed_s: float,
        controller: Record | None = None,
        controller_clock: Record | None = None,
        part: Record | None = None,
    ) -> int:
        """Write all of a measured block; return the number of samples.

        :param measured: what the module ``measure`` returned.
        :param controller: what the controller itself did meanwhile; None when it was not looked at.
        :param controller_clock: its clock's readings when the module was sent and had answered.
        :param part: ``machine`` and ``boot``, where one host is measured in two systems.
        :raises BundleError: when its evidence is not what its hash says, or is missing.
        """
        raw: Record = measured["raw"]
        for sample in measured["samples"]:
            if sample["evidence"] not in raw:
                raise BundleError(f"a sample of {sample['arm']} came without its evidence")
        for key, text in raw.items():
            self._write_raw(key, text)
        self._sync_folder("raw")
        line = {
            "run": measured["run"],
            "block": measured["block"],
            "host": measured["host"],
            **(part or {}),
            "arms": measured["arms"],
            "order": measured["order"],
            "controller_elapsed_s": round(controller_elapsed_s, 3),
            "host_elapsed_s": measured["host_elapsed_s"],
            "started_at": measured["started_at"],
            "controller": controller,
            "clocks": {
                "host": measured.get("host_monotonic_s"),
                "controller": controller_clock,
            },
        }
        samples, proofs = _as_lines(measured["samples"]), _as_lines(measured["proofs"])
        with self._locked():
            self._undo_half_append()
            manifest = self._manifest()
            if manifest is None:
                raise BundleError(f"{self.path} has no manifest.json: open the bundle first")
            previous = chain.previous_of(self._last_line(), measured["run"])
            line = chain.chained(line, previous, samples, proofs, raw, manifest)
            sizes = {name: self._size(name) for name in _LINES}
            what = {"block": measured["block"], "host": measured["host"], "sizes": sizes}
            self._write_json(_JOURNAL, what)
            self._append("samples.jsonl", samples)
            self._append("proofs.jsonl", proofs)
            self._append("blocks.jsonl", _as_lines([line]))
            (self.path / _JOURNAL).unlink()
        return len(measured["samples"])

    def note(self, event: Record) -> None:
        """Add a line to the log of the run."""
        with self._locked():
            self._append("events/measure.jsonl", _as_lines([{"at": utc_now(), **event}]))

    def _undo_half_append(self) -> None:
        """Bring the files back to their last whole block. The caller holds the lock."""
        journal = self.path / _JOURNAL
        sizes: dict[str, int] = {}
        # A journal that is not whole was interrupted before anything was appended.
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
            sizes = json.loads(journal.read_text(encoding="utf-8"))["sizes"]
        whole = {name: self._whole_lines(name) for name in _LINES}
        if sizes and whole["blocks.jsonl"] <= sizes["blocks.jsonl"]:
            whole = {name: min(whole[name], sizes[name]) for name in _LINES}
        for name, size in whole.items():
            self._cut(name, size)
        journal.unlink(missing_ok=True)

    def _whole_lines(self, name: str) -> int:
        """The size of a file without a last line that was not written to its end."""
        size = self._size(name)
        if size == 0:
            return 0
        with (self.path / name).open("rb") as file:
            end = size
            while end > 0:
                start = max(0, end - 65536)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
                if newline >= 0:
                    return start + newline + 1
                end = start
        return 0

    def _cut(self, name: str, size: int) -> None:
        """Move what is behind a size to ``events/``."""
        if self._size(name) <= size:
            return
        with (self.path / name).open("rb+") as file:
            file.seek(size)
            rest = file.read()
            stamp = hashlib.sha256(rest).hexdigest()[:12]
            (self.path / "events" / f"{name}.unfinished-{stamp}").write_bytes(rest)
            file.truncate(size)
            os.fsync(file.fileno())

    def _size(self, name: str) -> int:
        try:
            return (self.path / name).stat().st_size
        except FileNotFoundError:
            return 0

    def _last_line(self) -> bytes | None:
        """The last line of ``blocks.jsonl`` without its end. The caller holds the lock."""
        try:
            lines = (self.path / "blocks.jsonl").read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return None
        return next((line for line in reversed(lines) if line.strip()), None)

    def _append(self, name: str, lines: bytes) -> None:
        with (self.path / name).open("ab") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())

    def _write_raw(self, key: str, text: str) -> None:
        data = text.encode("utf-8")
        if hashlib.sha256(data).hexdigest() != key:
            raise BundleError(f"evidence {key} changed on its way from the host")
        path = self.path / "raw" / f"{key}.txt"
        if not path.exists():
            self._write_file(path, data)

    def _write_json(self, name: str, record: Record) -> None:
        text = json.dumps(record, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
        path = self.path / name
        self._write_file(path, text.encode("utf-8"))
        self._sync_folder(str(path.parent.relative_to(self.path)))

    @staticmethod
    def _write_file(path: Path, data: bytes) -> None:
        """Write a file as a whole or not at all."""
        # Unique by process: hosts are measured by processes of their own.
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def _sync_folder(self, name: str) -> None:
        fd = os.open(self.path / name, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _locked(self) -> t.Iterator[None]:
        """One writer at a time; the kernel lets go of the lock even when we are killed."""
        with (self.path / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _as_lines(records: t.Iterable[Record]) -> bytes:
    """Return records as lines of JSON, exactly as they are written and hashed."""
    return "".join(
        json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"
        for record in records
    ).encode("utf-8")


def file_name(host: str) -> str:
    """A host's name as a file name: its own where it can be, else another that no other host has."""
    if _PLAIN.fullmatch(host):
        return host
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", host[:40])
    return f"_{safe}.{hashlib.sha256(host.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def _comparable(there: Record, wanted: Record) -> t.Iterator[tuple[str, t.Any, t.Any]]:
    """What must be the same for a run to go on: (what, as it was, as it shall be)."""
    profile, other = there.get("profile") or {}, wanted.get("profile") or {}
    for key in sorted({*profile, *other} - {"description"}):
        yield f"the profile's {key}", profile.get(key), other.get(key)
    if wanted.get("seed") is not None:
        yield "the seed", there.get("seed"), wanted.get("seed")
    yield "the list of arms", _arms(there), _arms(wanted)
    yield (
        "the image's digest",
        (there.get("image") or {}).get("digest"),
        (wanted.get("image") or {}).get("digest"),
    )
    yield "the size of an instance", there.get("instance"), wanted.get("instance")


def _arms(manifest: Record) -> list[str]:
    """Arms by host; whether one is planned may change: a host that was down may be up again."""
    return sorted(f"{arm['arm']} on {arm['host']}" for arm in manifest.get("arms") or ())
