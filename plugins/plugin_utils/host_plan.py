# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of a host, from the results of the modules that make it, and in words for people."""

from __future__ import annotations

import difflib
import textwrap
import typing as t
from collections.abc import Mapping, Sequence

Step = Mapping[str, t.Any]

_WIDTH = 100
# In this order; what is not named is "KINDs to ACTION".
_KINDS = ("image", "package", "file", "module", "service", "network", "reboot", "arm")
_TITLES = {
    ("arm", "leave out"): "arms left out",
    ("module", "load"): "kernel modules to load",
    ("network", "add"): "networks while instances run",
    ("reboot", "reboot"): "reboot",
}


def collect(variables: Mapping[str, t.Any]) -> tuple[list[dict[str, t.Any]], dict[str, str]]:
    """Return all steps of a host, each once, and the difference in each file that is written.

    :param variables: of the host; what tasks registered is among them. A result with ``plan`` has steps.
    """
    steps: dict[tuple[str, ...], dict[str, t.Any]] = {}
    files: dict[str, str] = {}
    # What Ansible has of other hosts are not plain dictionaries.
    for result in _results(value for name, value in variables.items() if name != "vars"):
        for step in result["plan"]:
            key = tuple(str(step.get(name, "")) for name in ("kind", "action", "name", "detail"))
            # Where two tasks ask for the same package, the first one fetches it.
            steps.setdefault(key, dict(step))
        for diff in result.get("diff") or ():
            files.setdefault(str(diff["after_header"]), _unified(diff))
    return list(steps.values()), files


def _results(values: t.Iterable[t.Any]) -> t.Iterator[Mapping[str, t.Any]]:
    for value in values:
        if not isinstance(value, dict) or value.get("skipped"):
            continue
        plan = value.get("plan")
        if isinstance(plan, Sequence) and all(
            isinstance(step, Mapping) and "kind" in step for step in plan
        ):
            yield value
        elif isinstance(value.get("results"), Sequence):
            yield from _results(value["results"])


def _unified(diff: Mapping[str, t.Any]) -> str:
    before, after = (str(diff[key]).splitlines(keepends=True) for key in ("before", "after"))
    lines = difflib.unified_diff(before, after, str(diff["before_header"]), diff["after_header"])
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def lines(steps: Sequence[Step], files: Mapping[str, str]) -> list[str]:
    """Put a plan into words.

    :param files: path → difference, for those whose difference shall be shown.
    """
    groups: dict[tuple[str, str], list[Step]] = {}
    for step in sorted(steps, key=lambda step: _KINDS.index(step["kind"])):
        groups.setdefault((step["kind"], step["action"]), []).append(step)
    found: list[str] = []
    for (kind, action), group in groups.items():
        title = _TITLES.get((kind, action), f"{kind}s to {action}")
        if kind == "file":
            for step in group:
                found += _wrapped(f"file to {action}: {step['name']}{_detail(step)}")
                found += [f"    {line}" for line in files.get(step["name"], "").splitlines()]
        elif kind == "package":
            found += _wrapped(f"{title} ({_count(group)}): {', '.join(map(_package, group))}")
        else:
            found += _wrapped(f"{title}: {_joined(group)}")
    return found or ["nothing to change"]


def _joined(group: Sequence[Step]) -> str:
    """Names with the same detail share it."""
    names: dict[str, list[str]] = {}
    for step in group:
        names.setdefault(_detail(step), []).append(step["name"])
    return "; ".join(f"{', '.join(each)}{detail}" for detail, each in names.items())


def _detail(step: Step) -> str:
    words = [str(step["detail"])] if step.get("detail") else []
    words += [_megabytes(step["bytes"])] if step.get("bytes") else []
    words += [f"needs --allow {step['needs']}"] if step.get("needs") else []
    return f" ({'; '.join(words)})" if words else ""


def _package(step: Step) -> str:
    before = f"{step['before']} → " if step.get("before") else ""
    return f"{step['name']} {before}{step['detail']}"


def _count(group: Sequence[Step]) -> str:
    size = sum(step.get("bytes") or 0 for step in group)
    return f"{len(group)}, {_megabytes(size)} to fetch" if size else str(len(group))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.3g} MB" if size < 1e8 else f"{size / 1e6:.0f} MB"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
