from __future__ import annotations

import shlex
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from ws101.cli.group import COMMANDS, command_line, front_door

THERE = command_line.list_commands(click.Context(command_line))


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], ["--help"]),
        (["--help"], ["--help"]),
        (["--version"], ["--version"]),
        (["check", "ws://a/"], ["check", "ws://a/"]),
        (["wss://example.com/ws"], ["diagnose", "wss://example.com/ws"]),
        (["http://example.com/ws", "--conf", "-"], ["diagnose", "http://example.com/ws", "--conf", "-"]),
        (["WebSocket connection to 'ws://a/' failed: x"], ["diagnose", "WebSocket connection to 'ws://a/' failed: x"]),
        (["--conf", "x", "ws://a/"], ["diagnose", "--conf", "x", "ws://a/"]),
        (["nonsense"], ["nonsense"]),
    ],
)
def test_an_address_or_a_pasted_line_means_diagnose(args: list[str], expected: list[str]) -> None:
    assert front_door(args) == expected


def test_a_pasted_line_that_lost_its_quotes_to_the_shell_is_put_together_again() -> None:
    said = "WebSocket connection to wss://example.com/ws failed: Unexpected response code: 400"
    words = [*said.split(" "), "--format", "json"]
    assert front_door(words) == ["diagnose", said, "--format", "json"]


def test_every_command_that_is_there_has_a_module_of_its_name() -> None:
    assert {"diagnose", "check", "explain", "probe", "fix", "undo", "rule"} <= set(THERE)
    assert set(THERE) <= {entry.name for entry in COMMANDS}


def test_help_shows_the_commands_in_groups() -> None:
    text = CliRunner().invoke(command_line, ["--help"]).output
    places = [text.index(f"{section}:\n") for section in ("Find", "Measure", "Change", "Learn")]
    assert places == sorted(places)
    assert text.index("  diagnose") < text.index("  probe") < text.index("  fix ")


@pytest.mark.parametrize("name", THERE)
def test_every_command_explains_itself(name: str) -> None:
    done = CliRunner().invoke(command_line, [name, "--help"])
    assert done.exit_code == 0
    assert f"ws101 {name}" in done.output or "ws101 wss://" in done.output
    assert "\\b" not in done.output, "examples keep their lines"


def examples() -> list[str]:
    texts = [command_line.epilog or ""]
    texts += [import_module(f"ws101.cli.{name}").command.help or "" for name in THERE]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    parts = [part.strip() for line in lines for part in line.split(" | ")]
    return [part.split("   ")[0].split(" > ")[0] for part in parts if part.removeprefix("sudo ").startswith("ws101 ")]


def test_there_are_examples() -> None:
    assert len(examples()) >= 15


@pytest.mark.parametrize("example", examples())
def test_every_example_in_the_help_is_understood_by_the_command_line(example: str) -> None:
    words = shlex.split(example.removeprefix("sudo "))[1:]
    name, *args = front_door(words)
    command = command_line.get_command(click.Context(command_line), name)
    assert command is not None
    assert command.make_context(name, args).params
