# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Samples as columns.

A bundle may have millions, and an object for each would cost minutes and gigabytes.

Lines are parsed in chunks, types are checked a column at a time; only a chunk with something wrong
in it is looked at line by line, with the pydantic model, to name the line and the field.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import itertools
import operator
import typing as t
from pathlib import Path

import numpy as np
import pydantic
import pydantic_core

from vcompare_runner._contract import reasons
from vcompare_runner._contract.reasons import Reason
from vcompare_runner.core import edges
from vcompare_runner.core.errors import BundleError
from vcompare_runner.core.lines import BROKEN_REMEDY, cut_off_text, is_cut_off

if t.TYPE_CHECKING:
    from vcompare_runner.bundle.schema import BlockLine

# Answers (1 and 0) and counts may be zero; nothing else that is measured can.
ANSWER = "yes/no"
UNITS_WITH_ZERO = frozenset({ANSWER, "count"})

_UNNAMED = Reason(reasons.UNNAMED_ARM, "its block does not name the arm")
_CHUNK = 5000
_EXAMPLES = 3
# More impossible values than this are summed up.
_MOST_VALUES = 20
NO_REASON = "no reason given"

OK, FAILED, REFUSED = 0, 1, 2
STATUS_CODES: t.Mapping[str, int] = {"ok": OK, "failed": FAILED, "refused": REFUSED}
STATUS_NAMES = tuple(STATUS_CODES)

COLUMNS: tuple[str, ...] = (
    "schema",
    "run",
    "block",
    "order",
    "host",
    "arm",
    "variant",
    "scenario",
    "metric",
    "unit",
    "direction",
    "value",
    "iteration",
    "warmup",
    "status",
    "reason",
    "started_at",
    "host_elapsed_s",
    "guest_elapsed_s",
    "evidence",
)


class Sample(pydantic.BaseModel):
    """One sample, as docs/contracts.md has it.

    Used to explain what is wrong with a line, not to hold samples.
    """

    model_config = pydantic.ConfigDict(strict=True, extra="allow", populate_by_name=True)

    schema_version: t.Literal[1] = pydantic.Field(alias="schema")
    run: str
    block: edges.Block
    order: edges.Whole | None
    host: str
    arm: str
    variant: str
    scenario: str
    metric: str
    unit: str
    direction: t.Literal["lower", "higher"]
    value: float | None
    iteration: edges.Whole
    warmup: bool
    status: t.Literal["ok", "failed", "refused"]
    reason: str | None
    reason_code: str | None = None
    started_at: str | None
    host_elapsed_s: float | None
    guest_elapsed_s: float | None
    evidence: str | None


_TEXT = frozenset({str})
_TEXT_OR_NONE = frozenset({str, type(None)})
_WHOLE = frozenset({int})
_NUMBER_OR_NONE = frozenset({int, float, type(None)})

_TYPES: t.Mapping[str, frozenset[t.Any]] = {
    "schema": _WHOLE,
    "run": _TEXT,
    "block": _WHOLE,
    "order": frozenset({int, type(None)}),
    "host": _TEXT,
    "arm": _TEXT,
    "variant": _TEXT,
    "scenario": _TEXT,
    "metric": _TEXT,
    "unit": _TEXT,
    "direction": _TEXT,
    "value": _NUMBER_OR_NONE,
    "iteration": _WHOLE,
    "warmup": frozenset({bool}),
    "status": _TEXT,
    "reason": _TEXT_OR_NONE,
    "reason_code": _TEXT_OR_NONE,
    "started_at": _TEXT_OR_NONE,
    "host_elapsed_s": _NUMBER_OR_NONE,
    "guest_elapsed_s": _NUMBER_OR_NONE,
    "evidence": _TEXT_OR_NONE,
}

_NUMBERS = ("value", "host_elapsed_s", "guest_elapsed_s")

_WORDS: t.Mapping[str, frozenset[t.Any]] = {
    "schema": frozenset({1}),
    "direction": frozenset({"lower", "higher"}),
    "status": frozenset(STATUS_CODES),
}


_MOST: t.Mapping[str, int] = {
    "block": edges.MOST_BLOCKS,
    "order": edges.MOST_WHOLE,
    "iteration": edges.MOST_WHOLE,
}


class SeriesKey(t.NamedTuple):
    """What samples of one series have in common."""

    scenario: str
    metric: str
    unit: str
    direction: str
    variant: str
    arm: str
    host: str


@dataclasses.dataclass
class SampleTable:
    """Samples as columns of equal length, in the order of the file.

    :param keys: the series; ``series`` holds indices into it.
    :param value: the figure in the series' unit; NaN where a sample has none.
    :param used: whether a sample counts (see ``judge``); ``why_not`` says why one does not.
    :param status: ``OK``, ``FAILED`` or ``REFUSED``.
    :param line: which line of the file each is; empty when they come from none.
    """

    keys: list[SeriesKey]
    series: np.ndarray
    block: np.ndarray
    iteration: np.ndarray
    value: np.ndarray
    has_value: np.ndarray
    warmup: np.ndarray
    status: np.ndarray
    run: list[str]
    order: list[int | None]
    reason: list[str | None]
    started_at: list[str | None]
    host_elapsed_s: list[float | None]
    guest_elapsed_s: list[float | None]
    evidence: list[str | None]
    used: np.ndarray
    why_not: dict[int, Reason]
    reason_code: dict[int, str] = dataclasses.field(default_factory=dict)
    line: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.series)

    def judge(
        self,
        run: str,
        usable: t.Mapping[tuple[int, str, str], Reason],
        blocks: t.Sequence[BlockLine],
    ) -> list[tuple[str, str]]:
        """Decide which samples count; set ``used`` and ``why_not``.

        :param usable: reason why the samples of a (block, host, arm) don't count, empty when they
            do.
        :returns: notes as (code, text), for what a reader must know.
        """
        notes: list[tuple[str, str]] = []
        notes += self._leave_out_other_runs(run)
        notes += self._leave_out_blocks(usable, {(block.block, block.host) for block in blocks})
        notes += self._leave_out_times()
        notes += self._leave_out_values()
        notes += self._leave_out_duplicates()
        return notes

    def describe(self, index: int) -> str:
        """Name a sample for a reader."""
        key = self.keys[self.series[index]]
        return (
            f"{key.scenario}/{key.metric} of {key.arm} on {key.host}, block {self.block[index]}, "
            f"iteration {self.iteration[index]}"
            + (f" (samples.jsonl, line {self.line[index]})" if len(self.line) else "")
        )

    def evidence_keys(self) -> set[str]:
        """Return the raw texts that samples name."""
        return {key for key in self.evidence if key is not None}

    def arms_of_evidence(self, keys: t.Mapping[str, str]) -> dict[tuple[int, str, str], str]:
        """Return each (block, host, arm) whose samples name one of these raw texts, with its words."""
        found: dict[tuple[int, str, str], str] = {}
        if not keys:
            return found
        for index, evidence in enumerate(self.evidence):
            if evidence in keys:
                series = self.keys[self.series[index]]
                place = (int(self.block[index]), series.host, series.arm)
                found.setdefault(place, keys[t.cast(str, evidence)])
        return found

    def _leave_out(self, indices: np.ndarray, why: Reason) -> None:
        self.used[indices] = False
        for index in indices.tolist():
            self.why_not.setdefault(index, why)

    def _name_some(self, indices: np.ndarray) -> str:
        names = "; ".join(self.describe(int(index)) for index in indices[:_EXAMPLES])
        rest = len(indices) - _EXAMPLES
        return names + (f"; and {rest} more" if rest > 0 else "")

    def _leave_out_other_runs(self, run: str) -> list[tuple[str, str]]:
        strangers = np.array(
            [index for index, name in enumerate(self.run) if name != run], dtype=np.int64
        )
        if not len(strangers):
            return []
        names = ", ".join(sorted({self.run[index] for index in strangers}))
        self._leave_out(strangers, Reason(reasons.OTHER_RUN, "of another run"))
        return [
            (
                "other-run",
                f"samples.jsonl: {len(strangers)} samples are of another run ({names}); left out",
            )
        ]

    def _leave_out_blocks(
        self, usable: t.Mapping[tuple[int, str, str], Reason], finished: set[tuple[int, str]]
    ) -> list[tuple[str, str]]:
        notes: list[tuple[str, str]] = []
        unfinished: set[tuple[int, str]] = set()
        # One decision per series and block, not per sample.
        order = np.lexsort((self.block, self.series))
        series, blocks = self.series[order], self.block[order]
        changes = np.flatnonzero((np.diff(series) != 0) | (np.diff(blocks) != 0)) + 1
        groups = np.split(order, changes) if len(order) else []
        for group in groups:
            key, block = self.keys[self.series[group[0]]], int(self.block[group[0]])
            if (block, key.host) not in finished:
                why = Reason(reasons.UNFINISHED_BLOCK, "its block was not finished")
                unfinished.add((block, key.host))
            else:
                why = usable.get((block, key.host, key.arm), _UNNAMED)
            if why.code == reasons.GATE and key.unit == ANSWER:
                # Noise makes a figure wrong, and no answer: whether a thing is there does not depend on how fast it is.
                # Where it does, the claim says so (``hardware_speed``, court.py).
                continue
            if why:
                # What a sample says of itself is nearer to it than what its block says.
                self._leave_out_failures(group)
                self._leave_out(group[self.used[group]], why)
        for block, host in sorted(unfinished):
            notes.append(
                (
                    "unfinished-block",
                    f"samples.jsonl: block {block} of {host} was not finished; its samples are "
                    "not used",
                )
            )
        return notes

    def _leave_out_times(self) -> list[tuple[str, str]]:
        """Leave out samples whose own times can't be: negative, or no number."""
        notes: list[tuple[str, str]] = []
        for name in ("host_elapsed_s", "guest_elapsed_s"):
            column = getattr(self, name)
            times = np.array(column, dtype=np.float64)
            given = np.array([value is not None for value in column], dtype=bool)
            wrong = np.flatnonzero(given & ~(_are_plausible(times) | (times == 0)))
            notes += self._leave_out_impossible(f"impossible {name}", wrong, times)
        return notes

    def _leave_out_impossible(
        self, what: str, indices: np.ndarray, values: np.ndarray
    ) -> t.Iterator[tuple[str, str]]:
        """Leave out samples with a note for each of their values; many are summed up."""
        by_value: dict[str, list[int]] = {}
        for index in indices.tolist():
            by_value.setdefault(repr(float(values[index])), []).append(index)
        for number, (value, same) in enumerate(sorted(by_value.items())):
            text, places = f"{what} {value}", np.array(same, dtype=np.int64)
            self._leave_out(places, Reason(reasons.IMPOSSIBLE_VALUE, text))
            if number < _MOST_VALUES:
                yield ("impossible-value", f"{text}, left out: {self._name_some(places)}")
        if len(by_value) > _MOST_VALUES:
            more = len(by_value) - _MOST_VALUES
            yield ("impossible-value", f"{what}: {more} more of such values were left out")

    def _leave_out_values(self) -> list[tuple[str, str]]:
        notes: list[tuple[str, str]] = []
        self._leave_out_failures(np.flatnonzero(self.used))
        ok = self.used & (self.status == OK)
        missing = np.flatnonzero(ok & ~self.has_value)
        if len(missing):
            self._leave_out(
                missing, Reason(reasons.MISSING_VALUE, "no value although its status is ok")
            )
            notes.append(
                (
                    "missing-value",
                    f"samples with status ok but no value, left out: {self._name_some(missing)}",
                )
            )
        # Times and rates of work that was done are positive and finite; anything else was not measured.
        zero = np.array([key.unit in UNITS_WITH_ZERO for key in self.keys], dtype=bool)
        possible = _are_plausible(self.value) | ((self.value == 0) & _of_series(zero, self.series))
        impossible = np.flatnonzero(ok & self.has_value & ~possible)
        notes += self._leave_out_impossible("impossible value", impossible, self.value)
        odd = np.flatnonzero((self.status != OK) & self.has_value)
        if len(odd):
            notes.append(
                (
                    "unexpected-value",
                    f"samples that are not ok yet have a value, not used: {self._name_some(odd)}",
                )
            )
        return notes

    def _leave_out_failures(self, indices: np.ndarray) -> None:
        for index in indices[self.used[indices] & (self.status[indices] != OK)].tolist():
            self.used[index] = False
            status, why = STATUS_NAMES[self.status[index]], self.reason[index] or NO_REASON
            code = self.reason_code.get(index) or status
            self.why_not.setdefault(index, Reason(code, f"{status}: {why}", why))

    def _leave_out_duplicates(self) -> list[tuple[str, str]]:
        used = np.flatnonzero(self.used)
        if not len(used):
            return []
        # A block that was interrupted after its samples were written is done again: the later
        # samples belong to the finished block. Reversed, so that `unique` (which keeps the first of
        # equals) keeps the last.
        backwards = used[::-1]
        rows = np.stack([self.series[backwards], self.block[backwards], self.iteration[backwards]])
        order = np.lexsort(rows[::-1])
        same = np.all(rows[:, order[1:]] == rows[:, order[:-1]], axis=0)
        earlier = np.sort(backwards[order[1:][same]])
        if not len(earlier):
            return []
        self._leave_out(earlier, Reason(reasons.DUPLICATE_SAMPLE, "measured again later"))
        return [
            (
                "duplicate-sample",
                f"samples that are there again later, left out: {self._name_some(earlier)}",
            )
        ]


def _are_plausible(values: np.ndarray) -> np.ndarray:
    """Return which numbers are positive, and neither huge nor tiny."""
    with np.errstate(invalid="ignore"):
        found: np.ndarray = (values >= edges.LEAST_NUMBER) & (values <= edges.MOST_NUMBER)
    return found


def _of_series(flags: np.ndarray, series: np.ndarray) -> np.ndarray:
    """Return for each sample the flag of its series."""
    return flags[series] if len(flags) else np.zeros(len(series), dtype=bool)


_fields = operator.itemgetter(*COLUMNS)


@contextlib.contextmanager
def _no_collection() -> t.Iterator[None]:
    """Pause the garbage collector: it would look through millions of strings, again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_samples(path: Path) -> tuple[SampleTable, list[str]]:
    """Read ``samples.jsonl``.

    :returns: the table (all samples marked as used; ``SampleTable.judge`` decides), and what is to
        be said about lines that were cut off.
    :raises BundleError: a line is not a sample; the message names line and field.
    """
    findings: list[str] = []
    codes: dict[tuple[str, ...], int] = {}
    series: list[int] = []
    columns: dict[str, list[t.Any]] = {name: [] for name in (*COLUMNS, "reason_code", "line")}
    with edges.open_lines(path) as lines, _no_collection():
        first = 1
        while chunk := list(itertools.islice(lines, _CHUNK)):
            parsed = _parse_chunk(path, chunk, first, findings)
            if parsed is not None:
                parsed.setdefault("line", list(range(first, first + len(chunk))))
                for name, column in parsed.items():
                    columns[name] += column
                keys = zip(*(parsed[field] for field in SeriesKey._fields), strict=True)
                series += [codes.setdefault(key, len(codes)) for key in keys]
            first += len(chunk)
    value = np.array(columns["value"], dtype=np.float64)
    return (
        SampleTable(
            keys=[SeriesKey(*key) for key in codes],
            series=np.array(series, dtype=np.int64),
            block=np.array(columns["block"], dtype=np.int64),
            iteration=np.array(columns["iteration"], dtype=np.int64),
            value=value,
            has_value=np.array([item is not None for item in columns["value"]], dtype=bool),
            warmup=np.array(columns["warmup"], dtype=bool),
            status=np.array([STATUS_CODES[status] for status in columns["status"]], dtype=np.int8),
            run=columns["run"],
            order=columns["order"],
            reason=columns["reason"],
            started_at=columns["started_at"],
            host_elapsed_s=columns["host_elapsed_s"],
            guest_elapsed_s=columns["guest_elapsed_s"],
            evidence=columns["evidence"],
            used=np.ones(len(series), dtype=bool),
            why_not={},
            reason_code={index: code for index, code in enumerate(columns["reason_code"]) if code},
            line=np.array(columns["line"], dtype=np.int64),
        ),
        findings,
    )


def _parse_chunk(
    path: Path, chunk: list[bytes], first: int, findings: list[str]
) -> dict[str, list[t.Any]] | None:
    """Parse some lines into columns; ``None`` when there is nothing in them."""
    try:
        # A blank line makes this fail too; it is skipped on the slow path.
        records = pydantic_core.from_json(b"[" + b",".join(chunk) + b"]", cache_strings="all")
        columns = dict(
            zip(COLUMNS, map(list, zip(*map(_fields, records), strict=True)), strict=True)
        )
        # Of samples that have no value, and there not always.
        columns["reason_code"] = [record.get("reason_code") for record in records]
        if len(records) == len(chunk) and _types_hold(columns):
            for name in _NUMBERS:
                # An integer may be larger than any float.
                np.array(columns[name], dtype=np.float64)
            return columns
    except (ValueError, KeyError, TypeError, OverflowError):
        pass
    return _parse_lines(path, chunk, first, findings)


def _types_hold(columns: t.Mapping[str, list[t.Any]]) -> bool:
    return (
        all(set(map(type, columns[name])) <= allowed for name, allowed in _TYPES.items())
        and all(set(columns[name]) <= words for name, words in _WORDS.items())
        and all(
            0 <= number <= most
            for name, most in _MOST.items()
            for number in set(columns[name])
            if number is not None
        )
    )


def _parse_lines(
    path: Path, chunk: list[bytes], first: int, findings: list[str]
) -> dict[str, list[t.Any]] | None:
    columns: dict[str, list[t.Any]] = {name: [] for name in (*COLUMNS, "reason_code", "line")}
    for number, line in enumerate(chunk, start=first):
        line = line.strip()
        if not line:
            continue
        try:
            sample = Sample.model_validate_json(line)
        except pydantic.ValidationError as error:
            if is_cut_off(line):
                findings.append(cut_off_text(path.name, number))
                continue
            problem = error.errors(include_url=False)[0]
            where = ".".join(map(str, problem["loc"]))
            raise BundleError(
                f"{path}, line {number}, is not a sample: "
                f"{where + ': ' if where else ''}{problem['msg']}",
                BROKEN_REMEDY,
            ) from error
        columns["line"].append(number)
        columns["reason_code"].append(sample.reason_code)
        for name in COLUMNS:
            columns[name].append(
                sample.schema_version if name == "schema" else getattr(sample, name)
            )
    return columns if columns["run"] else None
