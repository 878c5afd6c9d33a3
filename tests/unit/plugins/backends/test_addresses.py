# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses, CPUs and names."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import cpuset, network
from ansible_collections.vcompare.lab.plugins.module_utils._arms.marker import (
    check_name,
    check_owner,
)
from ansible_collections.vcompare.lab.plugins.module_utils._arms.protocol import InstanceSpec
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from hypothesis import given, settings
from hypothesis import strategies as st

SUBNETS = [network.LOOPBACK, network.DOCKER, network.KVM, network.XEN]


@settings(deadline=None)
@given(st.sampled_from(SUBNETS), st.text(), st.sets(st.integers(16, 1022), max_size=300))
def test_an_address_is_free_and_in_range(
    subnet: network.Subnet, name: str, taken: set[int]
) -> None:
    base = ipaddress.IPv4Network(subnet.network)
    used = {str(base[number]) for number in taken}
    address = subnet.address(name, used)
    assert address not in used
    assert ipaddress.IPv4Address(address) in base
    assert 16 <= int(ipaddress.IPv4Address(address)) - int(base[0]) <= 1022
    assert subnet.address(name, used) == address


def test_names_fill_the_network_and_then_are_refused() -> None:
    taken: set[str] = set()
    for number in range(1007):
        taken.add(network.KVM.address(f"vc-{number}", taken))
    assert len(taken) == 1007
    with pytest.raises(BackendError, match="taken"):
        network.KVM.address("vc-one-more", taken)


def test_hardware_addresses() -> None:
    assert network.KVM.mac("10.213.20.16") == "52:54:00:d5:14:10"
    assert network.XEN.mac("10.213.27.250") == "00:16:3e:d5:1b:fa"
    assert network.DOCKER.mac("10.213.16.16") == ""
    assert network.KVM.gateway == "10.213.20.1"


@given(st.frozensets(st.integers(0, 300), min_size=1))
def test_cpu_lists_are_read_back(cpus: frozenset[int]) -> None:
    assert cpuset.parse(cpuset.render(cpus)) == cpus


def test_cpu_lists() -> None:
    assert cpuset.render(frozenset({0, 1, 2, 5, 7, 8})) == "0-2,5,7-8"
    assert cpuset.parse("0-2, 5") == {0, 1, 2, 5}


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "2-1", "1,,2", "0x1", "1-2-3", "٣"])
def test_no_cpu_list(text: str) -> None:
    with pytest.raises(BackendError):
        cpuset.parse(text)


def test_default_cpus_are_the_last_ones() -> None:
    host = frozenset({0, 1, 2, 3})
    assert cpuset.of(InstanceSpec("vc-a"), host) == "3"
    assert cpuset.of(InstanceSpec("vc-a", vcpus=2), host) == "2-3"
    assert cpuset.of(InstanceSpec("vc-a", vcpus=2, cpuset="1,0"), host) == "0-1"
    # As it is delivered: anywhere.
    assert cpuset.of(InstanceSpec("vc-a", cpuset="1", unlimited=True), host) == "0-3"
    for spec in (InstanceSpec("vc-a", vcpus=5), InstanceSpec("vc-a", cpuset="3-4")):
        with pytest.raises(BackendError) as caught:
            cpuset.of(spec, host)
        assert caught.value.remedy


@pytest.mark.parametrize(
    "name",
    ["a", "vc-", "vc-A", "vc-../x", "vc-a/b", "vc-a b", "vc--a", "vc-" + 41 * "a", "vc-a\n", ""],
)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(BackendError):
        check_name(name)


def test_names_that_are_taken() -> None:
    assert check_name("vc-" + 40 * "a")
    assert check_owner("run:20261124-101500-ab12cd")
    for owner in ("", "a\nb", "<x>", "a b"):
        with pytest.raises(BackendError):
            check_owner(owner)
