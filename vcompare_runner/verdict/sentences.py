# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""Verdicts in plain words: what was seen, why it is not decided, and what would settle it."""

from __future__ import annotations

import typing as t

from vcompare_runner.analysis.statistics import MIN_PAIRS
from vcompare_runner.core import words

if t.TYPE_CHECKING:
    from vcompare_runner.verdict.comparisons import Result
    from vcompare_runner.verdict.schema import ClaimTest

# So many tests are named in a sentence; the table below it has them all.
_NAMED = 4


def subject(test: ClaimTest, arm: str) -> str:
    """Name what is compared: ``kvm / docker``, ``docker − bare``, ``kvm``."""
    if test.comparison == "yes_no":
        return arm
    sign = "−" if test.comparison == "difference" else "/"
    return f"{arm} {sign} {test.against}"


def topic(test: ClaimTest) -> str:
    """Name what was measured, with its variant where that is not the usual one."""
    variant = f", {test.variant}" if test.variant != "minimal" else ""
    return f"{words.topic(test.scenario, test.metric)}{variant}"


def quantity(test: ClaimTest, value: float, unit: str | None) -> str:
    """Render an estimate or an end of an interval."""
    if test.comparison == "difference":
        return f"{words.figure(value)} {unit or ''}".rstrip()
    return words.ratio(value)


def margin(test: ClaimTest) -> str:
    """Say in words what a test asks for."""
    if test.comparison == "yes_no":
        return "yes in every block" if test.direction == "always" else "no in every block"
    value = test.margin or 0.0
    if test.comparison == "equivalence":
        return f"within {1 / value:.3g}× and {value:.3g}×"
    if test.comparison == "difference":
        return f"{test.direction} {value:g} {test.unit}"
    return f"{test.direction} {value:.3g}×"


def seen(result: Result, with_interval: bool = True) -> str:
    """Say what was seen: ``kvm / docker 6.81× [6.42, 7.15]``."""
    test, name = result.test, subject(result.test, result.arm)
    if result.estimate is None:
        return name
    if test.comparison == "yes_no":
        count = len(result.pairs.blocks) if result.pairs else 0
        yes = round(result.estimate * count)
        return f"{name}: yes in {yes} of {count} {_blocks(count)}"
    text = f"{name} {quantity(test, result.estimate, result.unit)}"
    if not with_interval:
        return text
    if result.interval is None:
        return f"{text} (no interval)"
    low, high = result.interval
    if test.comparison == "difference":
        return f"{text} [{words.figure(low)}, {words.figure(high)}]"
    return f"{text} {words.interval({'low': low, 'high': high})}"


def outcome(result: Result) -> str:
    """Say what a decided test shows."""
    asked = margin(result.test)
    return asked if result.outcome == "holds" else f"not {asked}"


def on_emulated(result: Result) -> str:
    """Say why emulated hardware does not decide, and what the figure is there."""
    test = result.test
    if result.estimate is None:
        return "a claim about the speed of hardware is not decided on emulated hardware"
    value = (
        f"{words.ratio(result.estimate)[:-1]} times"
        if test.comparison in ("ratio", "equivalence")
        else quantity(test, result.estimate, result.unit)
    )
    return (
        f"{subject(test, result.arm)} is {value} on emulated hardware, which holds for that "
        "hardware only"
    )


def too_noisy(low: float, high: float, limit: float) -> str:
    """Say that bare differs too much from itself."""
    return (
        f"too noisy for this margin: bare against itself lies within {words.ratio(low)} and "
        f"{words.ratio(high)}, and half of the margin is a factor of {words.ratio(limit)[:-1]}"
    )


def too_much_stolen(shares: t.Sequence[float | None], limit: float) -> str:
    """Say that so much CPU time was stolen that it could be the margin itself, or that it is not known how much."""
    known = [share for share in shares if share is not None]
    if len(known) < len(shares):
        return (
            f"in {len(shares) - len(known)} of {len(shares)} blocks it is not known how much CPU time was stolen "
            f"(at most {limit:.1%} is allowed)"
        )
    worst = max(known)
    return (
        f"too much CPU time was stolen to decide this: up to {worst:.1%}, and at most {limit:.1%} is allowed "
        "(half of the margin, where there is one)"
    )


def lacking(results: t.Sequence[Result]) -> list[Result]:
    """Return the tests that a claim needs and that no arm has an answer to."""
    answered = {r.test.name for r in results if r.outcome in ("holds", "fails")}
    return [r for r in results if r.test.needed and r.test.name not in answered]


def sentence(verdict: str, results: t.Sequence[Result]) -> str:
    """Explain a verdict."""
    ran = [result for result in results if result.outcome != "not run"]
    if verdict == "NOT RUN":
        return f"Not measured: {_missing(results)}."
    of = {
        name: [result for result in ran if result.outcome == name]
        for name in ("holds", "fails", "undecided", "refused")
    }
    # What gives the verdict comes first.
    order = {
        "REFUSED": ("refused", "holds", "fails", "undecided"),
        "INCONCLUSIVE": ("undecided", "holds", "fails"),
    }.get(verdict, ("holds", "fails", "undecided", "refused"))
    say: dict[str, t.Callable[[t.Sequence[Result]], str]] = {
        "holds": lambda found: f"It holds for {_listed(found)}.",
        "fails": lambda found: f"It does not hold for {_listed(found)}.",
        "undecided": _undecided,
        "refused": _refused,
    }
    text = " ".join(say[name](of[name]) for name in order if of[name])
    needed = [result for result in lacking(results) if result.outcome == "not run"]
    if verdict == "INCONCLUSIVE" and needed:
        text = f"What the claim needs most was not measured ({_missing(needed)}). {text}"
    if len(ran) < len(results):
        missing = [result for result in results if result.outcome == "not run"]
        text += (
            f" This is about {len(ran)} of its {len(results)} tests; not measured: "
            f"{_missing(missing)}."
        )
    return text


def _listed(results: t.Sequence[Result], asked: bool = True, with_interval: bool = False) -> str:
    """Name tests with what was seen, topic by topic, and what was asked for."""
    topics: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        key = (topic(result.test), f"; asked: {margin(result.test)}" if asked else "")
        topics.setdefault(key, []).append(result)
    texts = []
    for (name, suffix), members in list(topics.items())[:_NAMED]:
        figures = ", ".join(seen(member, with_interval) for member in members[:_NAMED])
        texts.append(f"{name} ({figures}{_more(len(members) - _NAMED)}{suffix})")
    return ", ".join(texts) + _more(len(topics) - _NAMED)


def _by_reason(results: t.Sequence[Result]) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.reason, []).append(result)
    return groups


def _undecided(results: t.Sequence[Result]) -> str:
    texts = [
        f"Undecided, since {reason}: {_listed(members, with_interval=True)}."
        for reason, members in list(_by_reason(results).items())[:_NAMED]
    ]
    return " ".join(texts)


def _refused(results: t.Sequence[Result]) -> str:
    texts = []
    emulated = [result for result in results if result.cause == "substrate"]
    if emulated:
        texts.append(
            "Emulated hardware does not decide what is said of the speed of hardware: "
            f"{_listed(emulated, asked=False)}; this holds for emulated hardware only."
        )
    groups = _by_reason([result for result in results if result.cause != "substrate"])
    for reason, members in list(groups.items())[:_NAMED]:
        topics = list(dict.fromkeys(topic(member.test) for member in members))
        about = f"{', '.join(topics[:_NAMED])}{_more(len(topics) - _NAMED)}"
        texts.append(f"Refused ({about}): {reason}.")
    if len(groups) > _NAMED:
        texts.append(f"{len(groups) - _NAMED} more reasons are in the table.")
    return " ".join(texts)


def _missing(results: t.Sequence[Result]) -> str:
    """Name what was not measured."""
    missing = list(dict.fromkeys(result.missing or result.reason for result in results))
    return ", ".join(missing[:_NAMED]) + _more(len(missing) - _NAMED)


def _more(count: int) -> str:
    return f" (and {count} more)" if count > 0 else ""


def _blocks(count: int) -> str:
    return "block" if count == 1 else "blocks"


def settle(verdict: str, results: t.Sequence[Result]) -> str | None:
    """Say what would settle a claim; ``None`` where nothing is open."""
    causes: dict[str, list[Result]] = {}
    for result in results:
        if result.cause is not None:
            causes.setdefault(result.cause, []).append(result)
    if verdict != "NOT RUN":
        # What was not measured is not part of the verdict, unless the claim needs it.
        needed = lacking(results) if verdict == "INCONCLUSIVE" else []
        for cause in ("scenario", "arm", "unmeasured"):
            causes[cause] = [r for r in causes.get(cause, []) if any(r is each for each in needed)]
    advice = [_ADVICE[cause](found) for cause, found in causes.items() if found]
    return "; ".join(dict.fromkeys(advice)) or None


def _more_blocks(results: t.Sequence[Result]) -> str:
    if any(result.interval is None for result in results):
        return f"more blocks: at least {MIN_PAIRS}, or there is no interval (--blocks)"
    needed = [result.blocks_needed for result in results if result.blocks_needed is not None]
    if len(needed) < len(results):
        near = next(result for result in results if result.blocks_needed is None)
        return (
            f"a quieter host or longer iterations: by the spread that was seen, {seen(near)} would "
            "need more than a thousand blocks"
        )
    return f"more blocks: about {max(needed)} by the spread that was seen (--blocks {max(needed)})"


def _measured(results: t.Sequence[Result]) -> str:
    return f"a run that measures {_missing(results)}"


_ADVICE: t.Mapping[str, t.Callable[[t.Sequence[Result]], str]] = {
    "blocks": _more_blocks,
    "straddles": _more_blocks,
    "noise": lambda _found: "a quieter host (nothing else on it), or longer iterations",
    "gate": lambda _found: "a quieter host: the gates' figures say what disturbed this one",
    "substrate": lambda _found: "the same run on real hardware, or on nodes with KVM acceleration",
    "unknown": lambda _found: "facts of the hosts that say what they stand on",
    "unproven": lambda found: (
        f"a run in which {', '.join(dict.fromkeys(r.arm for r in found))} and what it is compared "
        "with prove what they are"
    ),
    "unusable": lambda found: f"figures that can be compared: {found[0].reason}",
    "unmeasured": lambda found: f"a run without this: {found[0].reason}",
    "arm": _measured,
    "scenario": _measured,
}
