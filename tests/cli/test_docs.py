"""The reference says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest

from tests.cli import guarding, support
from tests.cli.test_logs import LOGS
from tests.cli.test_tap import EVENT
from tests.cli.test_trying import TRIED
from tests.cli.test_verify import VERIFY
from tests.host.test_many import MANY
from ws101.cli.group import COMMANDS as ENTRIES
from ws101.cli.group import command_line
from ws101.nginx.outcome import Outcome
from ws101.probes.core import FAILURES

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
FORMATS = (REFERENCE / "formats.md").read_text(encoding="utf-8")
COMMANDS = (REFERENCE / "commands.md").read_text(encoding="utf-8")
SHAPES: dict[str, object] = {
    "ws101/check/1": support.CHECK,
    "ws101/explain/1": support.EXPLAIN,
    "ws101/probe/1": support.PROBE,
    "ws101/diagnose/1": support.DIAGNOSE,
    "ws101/fix/1": support.FIXED,
    "ws101/seal/1": guarding.SEAL,
    "ws101/drift/1": guarding.DRIFT,
    "ws101/diff/1": guarding.DIFF,
    "ws101/verify/1": VERIFY,
    "ws101/tap/1": EVENT,
    "ws101/many/1": MANY,
    "ws101/logs/1": LOGS,
    "ws101/try/1": TRIED,
}
CONTEXT = click.Context(command_line)
SECTIONS = tuple(dict.fromkeys(entry.section for entry in ENTRIES))
NAMES = command_line.list_commands(CONTEXT)


def documented() -> dict[str, object]:
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", FORMATS, re.DOTALL)]
    return {block["schema"]: block for block in blocks}


def test_every_report_is_documented() -> None:
    assert set(documented()) == set(SHAPES)


@pytest.mark.parametrize("schema", SHAPES)
def test_the_documented_keys_are_those_of_the_report_in_their_order(schema: str) -> None:
    block, shape = documented()[schema], SHAPES[schema]
    assert isinstance(block, dict)
    assert isinstance(shape, dict)
    assert [*block] == [*shape]


def test_every_documented_failure_has_that_name_in_the_code() -> None:
    listed = re.search(r"than the exit code: (.*?)\.\n", FORMATS, re.DOTALL)
    assert listed is not None
    names = re.findall(r"`([a-z0-9-]+)`", listed[1])
    assert len(names) > 25
    assert set(names) <= set(FAILURES)


def test_every_kind_of_outcome_is_documented() -> None:
    kinds = re.findall(r"``(\w+)``", (Outcome.__doc__ or "").split("kind:")[1].split("status:")[0])
    assert len(kinds) == 7
    assert all(f"`{kind}`" in FORMATS for kind in kinds)


def test_the_table_at_the_top_leads_to_every_command_in_the_order_of_help() -> None:
    table = [line for line in COMMANDS.splitlines() if line.startswith(tuple(f"| {s} |" for s in SECTIONS))]
    found = [(line.split(" | ")[0].strip("| "), re.findall(r"\[(\w+)\]\(#ws101-(\w+)\)", line)) for line in table]
    assert found == [
        (section, [(entry.name, entry.name) for entry in ENTRIES if entry.section == section and entry.name in NAMES])
        for section in SECTIONS
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_each_of_its_options_is_documented(name: str) -> None:
    command = command_line.get_command(CONTEXT, name)
    assert command is not None
    section = COMMANDS.split(f"## ws101 {name}\n")[1].split("\n## ")[0]
    options = [max(p.opts, key=len) for p in command.params if isinstance(p, click.Option)]
    shared = ("--format", "--color", "--root", "--nginx", "--nginx-version")
    missing = [option for option in options if option not in shared and f"`{option}" not in section]
    assert missing == []


@pytest.mark.parametrize("name", NAMES)
def test_no_option_is_documented_that_is_not_there(name: str) -> None:
    command = command_line.get_command(CONTEXT, name)
    assert command is not None
    section = COMMANDS.split(f"## ws101 {name}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `-")]
    named = {match for row in rows for match in re.findall(r"`(--[a-z0-9-]+)", row.split("|")[1])}
    there = {opt for p in command.params if isinstance(p, click.Option) for opt in p.opts}
    assert named - there == set()
