"""Which run somebody means."""

from __future__ import annotations

from typing import Any

import pytest

from pllib.errors import QueryError
from query.runs import RUN_BASE, AmbiguousError, choose


def run(digest: str, name: str = "", job: str | None = None) -> dict[str, Any]:
    whole = digest.ljust(32, "0")
    return {
        "run": f"{RUN_BASE}{whole}",
        "name": name,
        "job": job,
        "started": "2026-01-02T03:04:05Z",
    }


RUNS = [
    run("4242abcd", "first", "17"),
    run("17aa17aa", "second", "4243_7.0"),
    run("17aa22bb", "17", "4243_8.0"),
    run("beefbeef", "train", "99.0"),
    run("48151623", "train", "99.1"),
    run("cafe0000", "beef"),
]


@pytest.mark.parametrize(
    ("text", "nth"),
    [
        ("@last", 5),
        (RUNS[3]["run"], 3),
        ("second", 1),
        ("17", 2),  # a name comes before a job
        ("4243_7", 1),
        ("4243_8.0", 2),
        ("99.1", 4),
        ("beef", 5),  # a name comes before a prefix
        ("beefb", 3),
        ("17aa1", 1),
        ("run/17aa2", 2),
        ("run/48151623", 4),
        ("48151623" + 24 * "0", 4),
        ("run/4242", 0),
    ],
)
def test_names_jobs_and_prefixes_are_looked_for_in_this_order(text: str, nth: int):
    assert choose(RUNS, text) is RUNS[nth]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("4242", "no run of job 4242. As a prefix of a run's digest it is run/4242"),
        ("48151623", "no run of job 48151623. As a prefix of a run's digest it is run/48151623"),
        ("4", "no run of job 4. A prefix of a run's digest has 4 characters or more"),
        ("bee", "no run is bee. A prefix of a run's digest has 4 characters or more"),
        ("", "no run is "),
        ("run/", "no run is run/"),
        ("10", "no run of job 10"),
    ],
)
def test_a_job_that_no_run_has_is_no_prefix_and_short_prefixes_are_none(text: str, said: str):
    with pytest.raises(QueryError) as raised:
        choose(RUNS, text)
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize(
    ("text", "digests"),
    [
        ("train", ["beefbeef", "48151623"]),
        ("99", ["beefbeef", "48151623"]),
        ("4243", ["17aa17aa", "17aa22bb"]),
        ("17aa", ["17aa17aa", "17aa22bb"]),
    ],
)
def test_an_ambiguous_one_lists_all_with_name_job_and_time(text: str, digests: list[str]):
    with pytest.raises(AmbiguousError, match=f"^{text} means 2 runs") as raised:
        choose(RUNS, text)
    for digest, line in zip(digests, raised.value.lines, strict=True):
        (row,) = (row for row in RUNS if digest in row["run"])
        assert line.startswith(f"run/{digest}")
        assert all(str(row[key]) in line for key in ("name", "job", "started"))
