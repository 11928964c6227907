"""What a user types for a parameter becomes an RDF term."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pllib.errors import QueryError
from pllib.project import Project
from query.engine import Engine
from query.named import Parameter, find_named
from query.terms import bind


def bound_time(text: str, folder) -> str:
    since = Parameter("since", "time", None, "from when on")
    named = replace(find_named("running"), parameters=(since,))
    return bind(Engine(Project(folder), None), named, {"since": text})["since"].term


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-01-31", "2026-01-31T00:00:00Z"),
        ("2026-01-31 12:30", "2026-01-31T12:30:00Z"),
        ("2026-01-31T12:30+01:00", "2026-01-31T11:30:00Z"),
        ("2026-01-31T12:30:15Z", "2026-01-31T12:30:15Z"),
        ("2026-01-31T12:30:15.1234Z", "2026-01-31T12:30:15.123400Z"),
        ("2026-01-31 12:30:15.123456789-02:00", "2026-01-31T14:30:15.123456Z"),
    ],
)
def test_a_time_may_be_short_or_exact(text: str, utc: str, tmp_path):
    assert bound_time(text, tmp_path).startswith(f'"{utc}"')


@pytest.mark.parametrize("text", ["yesterday", "12:30", "2026-02-30", "2026-01-31T12"])
def test_what_is_no_time_is_refused_with_an_example(text: str, tmp_path):
    with pytest.raises(QueryError, match="since is a time"):
        bound_time(text, tmp_path)
