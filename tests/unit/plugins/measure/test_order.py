# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order of arms is balanced, belongs to the seed, and is the same everywhere."""

from __future__ import annotations

import collections
import itertools

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._block.order import (
    cycle_length,
    order_of,
)
from hypothesis import given
from hypothesis import strategies as st

ARMS = ("bare", "docker", "kvm", "xen-dom0", "xen-pv", "xen-pvh", "xen-hvm", "podman")
arms = st.integers(1, len(ARMS)).map(lambda count: ARMS[:count])
seeds = st.integers(0, 2**64)


def cycle(names: tuple[str, ...], seed: int, host: str, number: int = 0) -> list[list[str]]:
    length = cycle_length(len(names))
    return [
        order_of(names, seed, host, block)
        for block in range(number * length + 1, (number + 1) * length + 1)
    ]


@given(arms, seeds, st.integers(1, 1000))
def test_every_block_has_every_arm_once(names: tuple[str, ...], seed: int, block: int) -> None:
    assert sorted(order_of(names, seed, "h", block)) == sorted(names)


@given(arms, seeds, st.integers(0, 5))
def test_every_place_equally_often(names: tuple[str, ...], seed: int, number: int) -> None:
    rows = cycle(names, seed, "h", number)
    for place in range(len(names)):
        counts = collections.Counter(row[place] for row in rows)
        assert set(counts.values()) == {len(rows) // len(names)}
        assert set(counts) == set(names)


@given(arms, seeds, st.integers(0, 5))
def test_every_arm_after_every_other_equally_often(
    names: tuple[str, ...], seed: int, number: int
) -> None:
    rows = cycle(names, seed, "h", number)
    pairs = collections.Counter((a, b) for row in rows for a, b in itertools.pairwise(row))
    assert len(pairs) == len(names) * (len(names) - 1)
    assert len(set(pairs.values())) <= 1


@given(arms, seeds)
def test_places_are_balanced_after_as_many_blocks_as_arms(
    names: tuple[str, ...], seed: int
) -> None:
    rows = cycle(names, seed, "h")[: len(names)]
    for place in range(len(names)):
        assert {row[place] for row in rows} == set(names)


@given(arms, seeds, st.integers(1, 50), st.randoms())
def test_how_the_arms_are_given_does_not_matter(
    names: tuple[str, ...], seed: int, block: int, random: object
) -> None:
    assert order_of(names[::-1], seed, "h", block) == order_of(names, seed, "h", block)


def test_seed_and_host_matter() -> None:
    by_seed = {tuple(order_of(ARMS[:4], seed, "h", 1)) for seed in range(50)}
    by_host = {tuple(order_of(ARMS[:4], 1, f"h{number}", 1)) for number in range(50)}
    assert len(by_seed) > 10
    assert len(by_host) > 10


def test_known_answer() -> None:
    """Pinned: a run that is resumed with a newer version must go on in the same order."""
    orders = [order_of(("bare", "docker", "kvm"), 123, "lab-linux", block) for block in (1, 2, 3)]
    assert orders == KNOWN_ORDERS


KNOWN_ORDERS = [["kvm", "docker", "bare"], ["docker", "bare", "kvm"], ["bare", "kvm", "docker"]]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        order_of(["kvm", "kvm"], 1, "h", 1)
    with pytest.raises(ValueError, match="count from 1"):
        order_of(["kvm"], 1, "h", 0)
    assert order_of([], 1, "h", 1) == []
