#!/usr/bin/env python3
# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Counts what shows whether the house is in order, and fails where a count grew.

    house.py            the table: each count, the most that it may be, and the aim
    house.py --list X   what makes up the count X

The most of each count is in `COUNTS`; who lowers a count lowers it there.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UTILS = "plugins/module_utils/"
_PREFIX = "ansible_collections.vcompare.lab."
MOST_LINES, MOST_FUNCTION_LINES = 300, 60
# Words of docs and messages that the project's language replaces.
DIALECT = (
    r"taken away|held against|anew\b|stands on|stand on|nobody\b|put down\b|lay ready|made of\b|\bis no\b|\bare no\b|"
    r"\bhas no\b|hasn't got|with company|last words|favours|planted"
)


@functools.cache
def files(*patterns: str) -> list[str]:
    """The files of the product: no tests, no examples, no history."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    out = ("tests/", "docs/example/", "changelogs/", "tools/")
    return [
        name
        for name in listed.split("\0")
        if name
        and not name.startswith(out)
        and (ROOT / name).is_file()
        # A link is another name of a file that is counted.
        and not (ROOT / name).is_symlink()
    ]


@functools.cache
def text(name: str) -> str:
    """The text of a file; empty for one that has none."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def python() -> list[str]:
    """The Python files of the product, each once."""
    return files("plugins/*.py", "vcompare_runner/*.py")


def naming(word: str) -> list[str]:
    """The files that name something, with hyphens or underscores."""
    pattern = re.compile(rf"(?<![\w-]){word.replace('-', '[-_]')}(?![\w-])")
    return [name for name in files() if pattern.search(text(name))]


def _module(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@functools.cache
def imports() -> dict[str, set[str]]:
    """Each module of the product with those that it imports, also inside of functions."""
    modules = {_module(name) for name in python()}
    found: dict[str, set[str]] = {}
    for name in python():
        mine = _module(name)
        targets: set[str] = set()
        for node in ast.walk(ast.parse(text(name))):
            if isinstance(node, ast.ImportFrom):
                base = (node.module or "").removeprefix(_PREFIX)
                if node.level:
                    base = ".".join(x for x in (*mine.split(".")[: -node.level], node.module) if x)
                targets |= {f"{base}.{alias.name}" for alias in node.names} | {base}
        found[mine] = (targets & modules) - {mine}
    return found


def reached(start: str) -> list[str]:
    """The modules that importing one loads."""
    seen, todo = set(), [start]
    while todo:
        one = todo.pop()
        if one not in seen:
            seen.add(one)
            todo += imports()[one]
    return sorted(seen - {start})


def deepest() -> list[str]:
    """The longest way of imports within module_utils."""
    best: dict[str, list[str]] = {}

    def way(one: str, above: tuple[str, ...]) -> list[str]:
        if one not in best:
            below = [
                way(each, (*above, one))
                for each in sorted(imports()[one])
                if each.startswith("plugins.module_utils") and each not in (*above, one)
            ]
            best[one] = [one, *max(below, key=len, default=[])]
        return best[one]

    return max((way(one, ()) for one in imports() if "module_utils" in one), key=len)


def public() -> list[str]:
    """Modules of module_utils that others may take for an interface: not private by name."""
    mine = files(f"{UTILS}*.py")
    return [
        name for name in mine if not name.removeprefix(UTILS).startswith("_") and text(name).strip()
    ]


def long_modules() -> list[str]:
    """Modules of more lines than one reads."""
    return [name for name in python() if text(name).count("\n") > MOST_LINES]


def long_functions() -> list[str]:
    """Functions that one must scroll."""
    return [
        f"{name}:{node.lineno} {node.name}"
        for name in python()
        for node in ast.walk(ast.parse(text(name)))
        if isinstance(node, ast.FunctionDef)
        and (node.end_lineno or 0) - node.lineno >= MOST_FUNCTION_LINES
    ]


def found(pattern: str, names: t.Iterable[str]) -> list[str]:
    """Each place of a pattern."""
    return [
        f"{name}:{number} {line.strip()[:90]}"
        for name in names
        for number, line in enumerate(text(name).splitlines(), 1)
        if re.search(pattern, line)
    ]


def lines() -> list[str]:
    """Lines of the product: Python, YAML, shell and templates."""
    names = [*python(), *files("roles/*", "playbooks/*", "inventories/*")]
    return [line for name in names for line in text(name).splitlines()]


class Count(t.NamedTuple):
    """A count: what it is made up of, the most that it may be, and what it is meant to become."""

    what: str
    found: t.Callable[[], list[str]]
    most: int
    aim: int


COUNTS: dict[str, Count] = {
    "arm": Count("files that name an arm (xen-hvm)", lambda: naming("xen-hvm"), 11, 4),
    "workload": Count("files that name a workload", lambda: naming("memory-latency"), 7, 3),
    "experiment": Count("files that name an experiment", lambda: naming("two-kernels"), 8, 3),
    "option": Count("files that name an option (budget)", lambda: naming("budget"), 20, 3),
    "measure": Count(
        "modules loaded by measure", lambda: reached("plugins.action.measure"), 15, 10
    ),
    "depth": Count("depth of imports", deepest, 16, 8),
    "public": Count("public modules in module_utils", public, 0, 0),
    "long": Count(f"modules over {MOST_LINES} lines", long_modules, 33, 0),
    "scroll": Count(f"functions of {MOST_FUNCTION_LINES} lines and more", long_functions, 14, 0),
    "sentences": Count(
        "decisions on a sentence",
        lambda: found(
            r"(why|reason|message|text)\.startswith\(|\" in (why|reason|message)\b",
            [name for name in python() if "/analysis/" in name or "/verdict/" in name]
            + [name for name in python() if "/bundle/" in name or "/report/" in name],
        ),
        0,
        0,
    ),
    "by-name": Count(
        "decisions on the beginning of an arm's name",
        lambda: found(r"arm\.startswith\(\"|removeprefix\(\"(xen|docker)-", python()),
        0,
        0,
    ),
    "dialect": Count(
        "phrases that language.md replaces",
        lambda: found(DIALECT, [*files("*.md", "roles/*", "playbooks/*"), *python()]),
        461,
        0,
    ),
    "lines": Count("lines of the product", lines, 52575, 48000),
}


def main(arguments: list[str]) -> int:
    """Print the table, or what makes up one count."""
    if arguments[:1] == ["--list"] and len(arguments) == 2 and arguments[1] in COUNTS:
        print("\n".join(COUNTS[arguments[1]].found()))
        return 0
    if arguments:
        print(f"house: use: house.py [--list {'|'.join(COUNTS)}]", file=sys.stderr)
        return 2
    grew = []
    print(f"{'count':<12}{'now':>8}{'most':>8}{'aim':>8}  what")
    for name, count in COUNTS.items():
        now = len(count.found())
        print(f"{name:<12}{now:>8}{count.most:>8}{count.aim:>8}  {count.what}")
        if now > count.most:
            grew.append(name)
    if grew:
        print(f"grew: {', '.join(grew)}; see house.py --list {grew[0]}")
    return bool(grew)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
