# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host can be, and what follows from it."""

from __future__ import annotations

import typing as t

METAL, VM, NESTED_KVM, NESTED_TCG, UNKNOWN = "metal", "vm", "nested-kvm", "nested-tcg", "unknown"
SUBSTRATES = (METAL, VM, NESTED_KVM, NESTED_TCG, UNKNOWN)

WORDS: t.Mapping[str, str] = {
    METAL: "real hardware",
    VM: "virtual machines",
    NESTED_KVM: "virtual machines with hardware virtualisation",
    NESTED_TCG: "emulated hardware",
    UNKNOWN: "hosts of unknown kind",
}
# How much longer than on real hardware a step may take before it counts as hung.
TIMEOUT_FACTORS: t.Mapping[str, int] = {METAL: 1, VM: 2, NESTED_KVM: 2, NESTED_TCG: 8, UNKNOWN: 2}

# What the lookup `contract` gives to roles, as lists and dictionaries.
TABLES: t.Mapping[str, t.Any] = {"timeout_factors": TIMEOUT_FACTORS}
