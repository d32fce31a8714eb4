"""The machine and the command line that a result names."""

from __future__ import annotations

import pytest

from tallycast_loadtest.machine import spoken, this_machine


def test_the_machine_is_this_one() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.memory_bytes > 1 << 20
    assert machine.cpu and machine.system and machine.python.startswith("CPython 3.")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["--secret", "hush", "x"], ["--secret", "***", "x"]),
        (["--secret-file=hush"], ["--secret-file=***"]),
        (["http://ada:hush@hub:1/?a=1&token=hush"], ["http://***@hub:1/?a=1&token=***"]),
        (["--url=http://hub/?token=hush"], ["--url=http://hub/?token=***"]),
        (["eyJhbGciOiJIUzI1NiJ9.hush.hush"], ["***"]),
        (["http://[", "--set", "viewers=5"], ["http://[", "--set", "viewers=5"]),
    ],
)
def test_no_secret_is_left_in_a_command_line(given: list[str], shown: list[str]) -> None:
    assert spoken(given) == shown
