# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which order the arms of a host take their turns in a block.

Williams' design (E. J. Williams, Australian Journal of Scientific Research A 2, 1949): over one
full cycle of blocks every arm has every place equally often, and follows every other arm equally
often. So neither drift within a block nor what an arm leaves behind for the next favours any of
them. With an even number of arms a cycle is as long as there are arms; with an odd number twice
that, since one square can't balance who follows whom. Each half of such a cycle balances the places
by itself.

The names of the arms and the order of a cycle's rows are drawn from the run's seed, the host and
the number of the cycle, by hashing: the same on every version of Python.
"""

from __future__ import annotations

import hashlib
import typing as t


def _shuffled(items: t.Iterable[t.Any], *salt: object) -> list[t.Any]:
    """Return the items in an order that depends on nothing but the salt and their number."""

    def weight(position: int) -> bytes:
        return hashlib.sha256("\0".join(map(str, (*salt, position))).encode()).digest()

    return [item for _position, item in sorted(enumerate(items), key=lambda pair: weight(pair[0]))]


def square(size: int) -> list[list[int]]:
    """Return the rows of one Williams square of the numbers 0 to size - 1."""
    zigzag = [(step + 1) // 2 if step % 2 else (size - step // 2) % size for step in range(size)]
    return [[(place + shift) % size for place in zigzag] for shift in range(size)]


def cycle_length(arms: int) -> int:
    """Number of blocks after which the balance is complete."""
    if arms <= 1:
        return 1
    return arms if arms % 2 == 0 else 2 * arms


def order_of(arms: t.Collection[str], seed: int, host: str, block: int) -> list[str]:
    """Return the arms of a host in the order of their turns.

    :param arms: different names; in which order they are given does not matter.
    :param block: number of the block, from 1.
    :raises ValueError: for a name that is there twice, or a block below 1.
    """
    names = sorted(arms)
    if len(set(names)) != len(names):
        raise ValueError(f"an arm is there twice: {', '.join(names)}")
    if block < 1:
        raise ValueError(f"blocks count from 1, not {block}")
    if not names:
        return []
    size = len(names)
    cycle, turn = divmod(block - 1, cycle_length(size))
    labels = _shuffled(names, "labels", seed, host, cycle)
    rows = square(size)
    half, row = divmod(turn, size)
    chosen = _shuffled(rows, "rows", seed, host, cycle, half)[row]
    if half:
        chosen = chosen[::-1]
    return [labels[number] for number in chosen]
