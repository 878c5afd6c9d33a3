# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The lines of a block in a file of JSON lines, and which of them are not as they were written."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import sys
import typing as t
import zlib
from pathlib import Path

import pydantic_core

from vcompare_runner.core import edges

Place = tuple[int, str]

# A comparison line by line takes time with the square of their number.
_MOST_COMPARED = 2000
_MOST_NAMED = 20


@dataclasses.dataclass
class Lines:
    """Lines of one block.

    :param offsets: where their bytes begin and end in the file.
    :param numbers: which lines of the file they are; empty when they were only counted.
    :param sums: CRC-32 of each, eight hexadecimal digits; empty when they were only counted.
    """

    path: Path | None = None
    numbers: list[int] = dataclasses.field(default_factory=list)
    offsets: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    sums: list[str] = dataclasses.field(default_factory=list)

    def pieces(self) -> t.Iterator[bytes]:
        """Return the bytes, piece by piece."""
        if self.path is None:
            return
        with edges.open_file(self.path, edges.MOST_LINES_BYTES) as file:
            for begin, end in self.offsets:
                file.seek(begin)
                left = end - begin
                while left > 0:
                    piece = file.read(min(left, 1 << 20))
                    if not piece:
                        return
                    left -= len(piece)
                    yield piece


def counted(path: Path, counts: t.Sequence[tuple[Place, t.Any]]) -> dict[Place, Lines] | None:
    """Count the lines of each block off, one block after the other.

    :param counts: blocks in their order, each with how many lines it has.
    :returns: None when it does not come out: then something was changed.
    """
    if not all(isinstance(count, int) and count >= 0 for _place, count in counts):
        return None
    if len({place for place, _count in counts}) < len(counts):
        return None
    found: dict[Place, Lines] = {}
    end = 0
    with edges.open_lines(path) as lines:
        for place, count in counts:
            sizes = [len(line) for line in itertools.islice(lines, min(count, sys.maxsize))]
            if len(sizes) != count:
                return None
            begin, end = end, end + sum(sizes)
            found[place] = Lines(path, offsets=[(begin, end)])
        return None if next(lines, None) else found


def by_key(path: Path) -> dict[Place, Lines]:
    """Look up the lines of each block by what they say of themselves."""
    found: dict[Place, Lines] = {}
    offset = 0
    with edges.open_lines(path) as file:
        for number, line in enumerate(file, start=1):
            begin, offset = offset, offset + len(line)
            try:
                record = pydantic_core.from_json(line, cache_strings="all")
                place = (record["block"], record["host"])
                lines = found.setdefault(place, Lines(path))
            except (ValueError, KeyError, TypeError):
                # What is not a record is the loader's to name.
                continue
            lines.numbers.append(number)
            lines.offsets.append((begin, offset))
            lines.sums.append(f"{zlib.crc32(line):08x}")
    return found


def what_differs(
    expected: t.Sequence[str], there: Lines
) -> t.Iterator[tuple[str, int | None, str]]:
    """Say what happened to a block's lines since they were written.

    :param expected: the checksum of each line, as it was written.
    :returns: (code, number of the line in the file, words).
    """
    sums = there.sums
    begin = 0
    while begin < min(len(expected), len(sums)) and expected[begin] == sums[begin]:
        begin += 1
    end = 0
    while end < min(len(expected), len(sums)) - begin and expected[-1 - end] == sums[-1 - end]:
        end += 1
    was, now = expected[begin : len(expected) - end], sums[begin : len(sums) - end]
    if not was and not now:
        return
    opcodes: t.Sequence[tuple[str, int, int, int, int]]
    if max(len(was), len(now)) > _MOST_COMPARED:
        opcodes = [("replace", 0, len(was), 0, len(now))]
    else:
        opcodes = difflib.SequenceMatcher(None, was, now, autojunk=False).get_opcodes()
    named = 0
    for tag, i1, i2, j1, j2 in opcodes:
        if tag == "equal":
            continue
        for code, place, text in _differences(i2 - i1, begin + j1, begin + j2, there):
            named += 1
            if named > _MOST_NAMED:
                yield "changed-line", None, "more of its lines differ"
                return
            yield code, place, text


def _differences(
    written: int, first: int, last: int, there: Lines
) -> t.Iterator[tuple[str, int | None, str]]:
    """Name one stretch of lines that were written as something else, or not at all."""
    changed = min(written, last - first)
    for place in range(first, first + changed):
        yield "changed-line", there.numbers[place], "was changed since it was written"
    for place in range(first + changed, last):
        yield "added-line", there.numbers[place], "was added since the block was written"
    missing = written - changed
    if missing > 0:
        lines = "a line is" if missing == 1 else f"{missing} lines are"
        after = there.numbers[first + changed - 1] if first + changed > 0 else None
        yield (
            "missing-line",
            after,
            f"{lines} missing {'after this one' if after else 'of its own'}",
        )
