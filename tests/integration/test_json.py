"""`--format json` is JSON, also where numbers are not finite."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NoReturn

import click
import pytest
from click.testing import CliRunner
from harness import Site

from pllib import jsontext
from pllib.errors import QueryError
from query.named import catalog
from sprov.cli import cli

COMMANDS: dict[str, list[list[str]]] = {
    "runs": [[]],
    "show": [["@last"]],
    "metrics": [["@last"], ["@last", "loss"]],
    "lineage": [["out.txt"], ["@last:accuracy", "--settings"]],
    "identify": [["out.txt"]],
    "diff": [["@last", "@last", "--all"]],
    "query": [["SELECT * { ?s ?p ?o }"], ["ASK {}"]],
    "ask": [[]],
    "status": [[]],
    "verify": [[], ["--shapes"]],
    "gc": [[]],
    "slurm template": [["--list"]],
    "slurm doctor": [[]],
    "slurm sync": [],  # without Slurm there is nothing to print: tests/cluster
    "log daemons": [],  # prints a JSON object a line: test_daemon_logs.py
}
MAY_FAIL = ("slurm doctor",)
"""What it says of this machine is not what is tested."""


def refuse(token: str) -> NoReturn:
    raise ValueError(f"{token} is not JSON")


def parse(text: str) -> Any:
    return json.loads(text, parse_constant=refuse)


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def has_json(command: click.Command) -> bool:
    return any(
        isinstance(option.type, click.Choice) and "json" in option.type.choices
        for option in command.params
        if "--format" in option.opts
    )


def test_all_commands_that_print_json_are_tried_here():
    assert {name for name, command in commands(cli) if has_json(command)} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_prints_as_json_is_json(not_finite: Site, name: str):
    for arguments in COMMANDS[name]:
        command = [*name.split(), *arguments, "--format", "json"]
        if name in MAY_FAIL:
            printed = not_finite.attempt(*command).stdout
        else:
            printed = not_finite.sprov(*command)
        assert parse(printed) not in (None, "")


def test_every_named_question_is_answered_in_json(
    not_finite: Site, monkeypatch: pytest.MonkeyPatch
):
    """With its defaults, and with what it needs."""
    monkeypatch.setenv("SPROV_DIR", str(not_finite.project.root))
    given = {"run": "@last", "other": "@last", "file": "out.txt", "name": "loss", "measure": "gain"}
    n_answered = 0
    for named in catalog().values():
        needed = [each.name for each in named.parameters if each.default is None]
        if set(needed) <= set(given):
            parameters = [word for each in needed for word in ("-p", f"{each}={given[each]}")]
            done = CliRunner().invoke(cli, ["ask", named.name, *parameters, "--format", "json"])
            assert done.exception is None or isinstance(done.exception, QueryError)
            if done.exception is None:
                parse(done.stdout)
                n_answered += 1
    assert n_answered > 60


def test_prov_json_is_json(not_finite: Site):
    parse(not_finite.sprov("export", "@last", "--format", "prov-json"))


def test_numbers_that_json_lacks_are_told_apart(not_finite: Site):
    points = parse(not_finite.sprov("metrics", "@last", "loss", "--format", "json"))
    assert [point["value"] for point in points] == [1.0, "NaN", "Infinity"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([math.nan, math.inf, -math.inf, 1.5], '["NaN", "Infinity", "-Infinity", 1.5]'),
        ({1: {"a"}, "b": (True, None)}, '{"1": ["a"], "b": [true, null]}'),
        ("\udcff", '"?"'),
    ],
)
def test_what_json_lacks_becomes_a_string(value: Any, text: str):
    assert jsontext.dumps(value, indent=None) == text
