# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names and addresses that follow from a lab's name and home."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._contract.places import default_home
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import Lab
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,19}", fullmatch=True)


@given(NAMES, st.from_regex(r"[\w./+@-]{1,40}", fullmatch=True))
def test_addresses_are_loopback_and_each_node_has_its_own(name: str, folder: str) -> None:
    nodes = Lab(f"/{folder}", name).nodes
    addresses = [ipaddress.ip_address(node.address) for node in nodes]
    assert all(address.is_loopback for address in addresses)
    assert len(set(addresses)) == len(nodes) == 2
    # 127.0.0.0/24 is everybody's
    assert all(address not in ipaddress.ip_network("127.0.0.0/16") for address in addresses)


@given(NAMES)
def test_the_same_name_in_two_homes_shares_nothing(name: str) -> None:
    one, other = Lab("/home/a", name), Lab("/home/b", name)
    assert one.owner != other.owner
    assert {node.domain for node in one.nodes}.isdisjoint(node.domain for node in other.nodes)


@pytest.mark.parametrize("name", ["", "Up", "1st", "a" * 21, "a/b", "../x", "a b", "a\n", "ä"])
def test_a_name_that_could_escape_is_refused(name: str) -> None:
    with pytest.raises(VcompareError) as caught:
        Lab("/srv", name)
    assert "--lab" in caught.value.message
    assert caught.value.remedy


def test_the_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCOMPARE_HOME", "/srv/v")
    assert default_home() == "/srv/v"
    monkeypatch.delenv("VCOMPARE_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_home() == "/data/vcompare"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_home() == "/home/me/.local/share/vcompare"


def test_a_relative_home_is_refused() -> None:
    with pytest.raises(VcompareError, match="absolute"):
        Lab("labs", "default")
