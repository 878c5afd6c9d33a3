# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Text that a guest is told arrives there unchanged: a real shell reads it back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.vcompare.lab.plugins.module_utils._arms import seed
from ansible_collections.vcompare.lab.plugins.module_utils._arms.ssh import quote
from ansible_collections.vcompare.lab.plugins.module_utils._core.errors import BackendError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# What a shell could take for something of its own, and what it could not.
NASTY = st.text(
    st.one_of(st.sampled_from("'\"\\$`!*?[]{}()<>|&;# ~\t\n\r=%^"), st.characters(codec="utf-8")),
    max_size=40,
).filter(lambda text: "\0" not in text)
REUSE = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@REUSE
@given(st.lists(NASTY, max_size=3))
def test_environment_survives_a_shell(tmp_path: Path, values: list[str]) -> None:
    names = [f"VC_{number}" for number in range(len(values))]
    (tmp_path / "env").write_bytes(seed.environment(dict(zip(names, values, strict=True))))
    script = '. "$0"; for n in "$@"; do eval "printf \'%s\\0\' \\"\\$$n\\""; done'
    shown = subprocess.run(
        ["/bin/sh", "-c", script, str(tmp_path / "env"), *names], check=True, capture_output=True
    ).stdout
    assert shown.split(b"\0")[:-1] == [value.encode() for value in values]


@REUSE
@given(st.lists(NASTY, min_size=1, max_size=4))
def test_quoted_arguments_survive_a_shell(arguments: list[str]) -> None:
    line = quote(["printf", "%s\\0", *arguments])
    shown = subprocess.run(["/bin/sh", "-c", line], check=True, capture_output=True).stdout
    assert shown == b"".join(argument.encode() + b"\0" for argument in arguments)


@REUSE
@given(st.lists(NASTY.filter(lambda text: "\n" not in text), max_size=4))
def test_command_is_read_back_line_by_line(tmp_path: Path, argv: list[str]) -> None:
    (tmp_path / "command").write_bytes(seed.command_lines(argv))
    # the loop of the guest's init
    script = (
        'set --; while IFS= read -r word || [ -n "$word" ]; do set -- "$@" "$word"; done <"$0"; '
        "[ $# -eq 0 ] || printf '%s\\0' \"$@\""
    )
    shown = subprocess.run(
        ["/bin/sh", "-c", script, str(tmp_path / "command")], check=True, capture_output=True
    ).stdout
    assert shown == b"".join(argument.encode() + b"\0" for argument in argv)


@pytest.mark.parametrize("argument", ["two\nlines", "nul\0"])
def test_what_a_guest_cannot_be_told_is_refused(argument: str) -> None:
    with pytest.raises(BackendError) as caught:
        seed.command_lines(["echo", argument])
    assert caught.value.remedy


def test_a_bad_variable_is_refused() -> None:
    with pytest.raises(BackendError):
        seed.environment({"A; reboot": "x"})
