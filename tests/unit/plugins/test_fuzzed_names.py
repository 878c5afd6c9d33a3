# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names out of inventories and command lines: refused, or one plain name of a file and one word of a shell."""

from __future__ import annotations

import os
import shlex
import typing as t

import pytest
from ansible_collections.vcompare.lab.plugins.action import bundle as bundle_action
from ansible_collections.vcompare.lab.plugins.module_utils._arms import marker
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import VcompareError
from ansible_collections.vcompare.lab.plugins.module_utils._host import neighbour
from ansible_collections.vcompare.lab.plugins.module_utils._lab import layout
from ansible_collections.vcompare.lab.plugins.module_utils._lab.layout import Lab
from ansible_collections.vcompare.lab.plugins.plugin_utils import bundle, systems
from hypothesis import example, given
from hypothesis import strategies as st

from vcompare_runner.run import home

# What escapes: into other folders, shells, options, lines of files that programs read, XML.
HOSTILE = [
    "", ".", "..", "../../etc/passwd", "/etc/passwd", "a/b", "a\\b", "a\n", "a\nb", "a\0b", "-rf", "--help", "$(id)",
    "`id`", "a;id", "a b", "a'b", 'a"b', "a&b", "a|b", "a>b", "*", "~", "~root", "{{ lookup(1) }}", "${HOME}",
    "<x/>", "&amp;", "\u202eab", "a\u0301", "é", "A" * 300, "lab\r", "nul", "%n", "#",
]  # fmt: skip
names = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(max_size=80),
    st.builds("{}{}{}".format, st.sampled_from(["a", "vc-a"]), st.sampled_from(HOSTILE), st.sampled_from(["", "a"])),
)  # fmt: skip


def is_plain(name: str) -> bool:
    """One name of a file in the folder it is put into, and one word to a shell, which is not an option."""
    return (
        os.path.basename(name) == name
        and name not in ("", ".", "..")
        and shlex.quote(name) == name
        and not name.startswith("-")
        and name.isascii()
        and len(name) <= 255
    )


def refuses(call: t.Callable[[], object], *errors: type[Exception]) -> bool:
    try:
        call()
    except errors:
        return True
    return False


@given(names)
@example("a\n")
def test_a_lab_is_in_the_folder_of_labs(name: str) -> None:
    if refuses(lambda: Lab("/home/of/labs", name), VcompareError):
        return
    assert is_plain(name)
    lab = Lab("/home/of/labs", name)
    for path in (lab.folder, lab.keys, lab.known_hosts, lab.journal, lab.state):
        assert os.path.normpath(path).startswith(f"/home/of/labs/labs/{name}")
    assert is_plain(lab.owner)


@given(names)
@example("h o'me")
@example("50%")
@example("a,readonly=on")
def test_a_home_is_one_word_to_ssh_and_qemu(name: str) -> None:
    folder = f"/srv/{name}"
    if refuses(lambda: Lab(folder, "lab"), VcompareError):
        return
    assert not set(folder) & set(" \t\r\n\0,%'\"\\$`;&|<>*?(){}[]~#!=:")


def test_the_command_line_refuses_the_same_homes() -> None:
    assert home._HOME.pattern == layout._HOME.pattern


@given(names)
def test_an_instance_is_one_word(name: str) -> None:
    if not refuses(lambda: marker.check_name(name), VcompareError):
        assert is_plain(name)
        assert name.startswith("vc-")


@given(names)
def test_a_run_is_one_folder(name: str) -> None:
    if bundle_action._RUN.match(name):
        assert is_plain(name)


@given(names)
def test_a_host_may_have_any_name_and_its_file_is_in_its_folder(name: str) -> None:
    assert is_plain(bundle.file_name(name))


@given(names, names)
def test_two_hosts_have_two_files(one: str, other: str) -> None:
    assert (bundle.file_name(one) == bundle.file_name(other)) == (one == other)


@given(names)
def test_a_neighbour_is_one_word(name: str) -> None:
    if neighbour._OURS.match(name):
        assert is_plain(name)


@given(names)
def test_a_system_of_a_user_has_a_name_for_people_and_no_path(name: str) -> None:
    if systems._NAME.fullmatch(name):
        assert os.path.basename(name) == name
        assert name.isascii() and name.isprintable() and name not in (".", "..")


def test_what_the_tests_call_hostile_is_refused() -> None:
    """Else they would say nothing."""
    for name in set(HOSTILE) - {"nul", "A" * 300}:
        with pytest.raises(VcompareError):
            Lab("/home/of/labs", name)
        assert not bundle_action._RUN.match(name)
