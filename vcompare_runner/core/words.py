# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""How figures are put into words, the same in every format."""

from __future__ import annotations

import math
import typing as t

from vcompare_runner._contract.reasons import GATE, Reason
from vcompare_runner._contract.scenarios import BY_NAME
from vcompare_runner._contract.substrates import METAL, NESTED_KVM, NESTED_TCG, UNKNOWN, VM, WORDS

NO_VALUE = "–"


def reasons(each: t.Iterable[str]) -> str:
    """Sum up why blocks are missing: each reason once, those of one gate as the first and a count."""
    found: dict[tuple[bool, str], list[str]] = {}
    for reason in each:
        of_gate = isinstance(reason, Reason) and reason.code == GATE
        key = (of_gate, reason.detail if isinstance(reason, Reason) and of_gate else reason)
        found.setdefault(key, []).append(reason)
    return "; ".join(
        members[0] if len(set(members)) == 1 else f"{members[0]} (so in {len(members)} blocks)"
        for members in found.values()
    )


def title(scenario: str) -> str:
    """Return a heading for a scenario."""
    known = BY_NAME.get(scenario)
    return known.title if known else scenario.replace("-", " ").capitalize()


def median(entry: t.Mapping[str, t.Any] | None, unit: str) -> str:
    """Render what an arm has of a figure that stands alone: the median over blocks, or what they answered."""
    if entry is None or entry["median"] is None:
        return NO_VALUE
    if unit == "yes/no" and entry["min"] != entry["max"]:
        return "yes and no"
    if unit == "yes/no":
        return "yes" if entry["median"] else "no"
    return figure(entry["median"])


def topic(scenario: str, metric: str) -> str:
    """Return a heading for one metric of a scenario."""
    return _with_metric(scenario, title(scenario), metric)


def label(scenario: str, metric: str) -> str:
    """Return the same in few words: by the name that `--scenarios` takes."""
    return _with_metric(scenario, scenario, metric)


def _with_metric(scenario: str, text: str, metric: str) -> str:
    known = BY_NAME.get(scenario)
    return text if known and known.one_metric else f"{text}: {metric.replace('_', ' ')}"


def figure(value: float | None) -> str:
    """Render a figure with four significant digits; a dash when there is none."""
    if value is None:
        return NO_VALUE
    if value == 0 or not math.isfinite(value):
        return str(value)
    digits = 3 - math.floor(math.log10(abs(value)))
    if digits < -3 or digits > 6:
        return f"{value:.3e}"
    rounded = round(value, digits)
    return f"{rounded:,.{max(digits, 0)}f}"


def ratio(value: float | None) -> str:
    """Render a ratio: three significant digits and ×."""
    return NO_VALUE if value is None else f"{_three(value)}×"


def interval(value: t.Mapping[str, float] | None) -> str:
    """Render an interval, or nothing."""
    return "" if value is None else f"[{_three(value['low'])}, {_three(value['high'])}]"


def _three(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    if value >= 0.01:
        # Near 1 the third decimal is what matters.
        return (
            f"{value:.3f}"
            if 0.9 <= value < 1.1
            else f"{value:.2f}"
            if value >= 1
            else f"{value:.3f}"
        )
    return f"{value:.2e}"


def better(direction: str) -> str:
    """Say in words what is better."""
    return "lower is better" if direction == "lower" else "higher is better"


def compared(verdict: str | None) -> str:
    """Say in words what a comparison shows; an empty string where nothing can be said."""
    return {
        "better": "better than bare",
        "worse": "worse than bare",
        "not distinguished": "no difference shown",
    }.get(verdict or "", "")


def substrate(name: str | None) -> str:
    """Say in words what a host stands on."""
    return WORDS.get(name or "", name or "unknown")


def substrate_statement(substrates: t.Mapping[str, str]) -> str:
    """Say what figures from these hosts are worth."""
    kinds = set(substrates.values())
    if NESTED_TCG in kinds:
        hosts = ", ".join(sorted(host for host, kind in substrates.items() if kind == NESTED_TCG))
        return (
            f"These figures were measured on emulated hardware ({hosts}): QEMU interprets every "
            "instruction of the "
            "machines under test. All arms stand on the same emulation, so ratios between arms "
            "hold for this "
            "substrate. Absolute times and rates do not carry over to real hardware, and ratios "
            "there may differ as well: "
            "other operations are cheap or dear in emulation than in silicon."
        )
    if NESTED_KVM in kinds:
        return (
            "These figures were measured in virtual machines with hardware virtualisation: guests "
            "are nested one level "
            "deeper than on real hardware. Ratios hold for this substrate; absolute times do not "
            "carry over."
        )
    if VM in kinds:
        return (
            "These figures were measured in virtual machines of another hypervisor or a cloud. "
            "Ratios hold for this substrate; absolute times do not carry over to real hardware."
        )
    if UNKNOWN in kinds:
        hosts = ", ".join(sorted(host for host, kind in substrates.items() if kind == UNKNOWN))
        return (
            f"It is not known whether all hosts are real hardware ({hosts}), so published figures "
            "are not compared. Where you know it, set the variable vcompare_substrate."
        )
    if kinds == {METAL}:
        return "These figures were measured on real hardware, directly on the hosts named below."
    return "The bundle does not say what the hosts stand on."


def block_list(numbers: t.Sequence[int]) -> str:
    """Render block numbers shortly: ``1–3, 5``."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}–{part[-1]}" for part in parts)


def arm_label(entry: t.Mapping[str, t.Any], ambiguous: t.Collection[str]) -> str:
    """Name an arm; with its host where the arm ran on several."""
    return f"{entry['arm']} ({entry['host']})" if entry["arm"] in ambiguous else str(entry["arm"])
