# vcompare_runner: copyright the vcompare contributors, GPL-3.0-or-later (see LICENSE)
"""The words that the parts share: experiments, substrates, defaults."""

from __future__ import annotations

import difflib
import typing as t

from vcompare_runner._contract.arms import AGAIN

DEFAULT_LAB = "default"
DEFAULT_PROFILE = "quick"

ACCELERATIONS: tuple[str, ...] = ("auto", "kvm", "tcg")

# What may interrupt a server, where it is allowed.
ALLOWED: tuple[str, ...] = ("restart", "reboot")

# How many nodes a nested lab can have; from the third on they are second hosts of the technologies.
NODES: tuple[int, ...] = (1, 2, 3, 4)


def compared(arms: t.Iterable[str]) -> list[str]:
    """Return the arms that are compared: without bare's second measurement."""
    return [arm for arm in arms if arm != AGAIN]


def did_you_mean(word: str, known: t.Iterable[str]) -> str:
    """Return ``did you mean 'kvm'?`` for a word close to a known one, else an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else ""
