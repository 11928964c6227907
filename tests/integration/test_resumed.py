"""Metrics of a run that went on in another attempt: what counts, and that nothing is averaged."""

from __future__ import annotations

import csv
import io
import json

import pytest
from harness import Site

RANKS = (0, 1)


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Two attempts of two tasks; the later one's logs are taken in first."""
    site = Site(tmp_path_factory.mktemp("resumed"))
    for restart in (1, 0):
        for rank in RANKS:
            site.run(
                "resumed.py", SLURM_CLUSTER_NAME="c", SLURM_JOB_ID="7001", SLURM_STEP_ID="0",
                SLURM_STEP_NUM_TASKS="2", SLURM_PROCID=str(rank), SPROV_MODE="offline",
                SLURM_RESTART_COUNT=str(restart),
            )  # fmt: skip
        site.sprov("ingest")
    return site


def table(site: Site, *options: str) -> list[list[str]]:
    """Return the rows of the table that the command prints, header first."""
    lines = site.sprov("metrics", "@last", *options).splitlines()
    rows = [line.split() for line in lines if line.strip(" \u2500")]
    return [row for row in rows if row]


def first(step: int) -> float:
    return step + 5.0


def second(step: int) -> float:
    return 905.0 if step == 12 else step + 105.0


def test_a_step_of_two_attempts_shows_the_later_one(resumed: Site) -> None:
    head, *rows = table(resumed)
    assert head == ["step", "loss"]
    expected = [(n, first(n) if n < 6 else second(n)) for n in range(13)]
    assert [(int(step), float(loss)) for step, loss in rows] == expected


def test_both_attempts_of_a_step_are_shown_when_asked_for(resumed: Site) -> None:
    head, *rows = table(resumed, "--attempts")
    assert head == ["step", "attempt", "loss"]
    expected = [(n, 0, first(n)) for n in range(11)] + [(n, 1, second(n)) for n in range(6, 13)]
    found = [(int(step), int(attempt), float(loss)) for step, attempt, loss in rows]
    assert found == sorted(expected)


def test_a_series_without_steps_is_of_the_latest_attempt(resumed: Site) -> None:
    assert table(resumed, "seconds") == [["name", "mean"], ["seconds", "3"]]
    rows = table(resumed, "seconds", "--attempts")
    assert rows == [["name", "attempt", "mean"], ["seconds", "0", "2"], ["seconds", "1", "3"]]


def test_csv_has_all_points_with_attempt_rank_and_time(resumed: Site) -> None:
    text = resumed.sprov("metrics", "@last", "loss", "--csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 2 * (11 + 7 + 1)
    twelve = [(r["attempt"], r["rank"], float(r["value"])) for r in rows if r["step"] == "12"]
    assert twelve == [("1", "0", 112), ("1", "0", 900), ("1", "1", 122), ("1", "1", 910)]
    six = [(r["attempt"], r["rank"], float(r["value"])) for r in rows if r["step"] == "6"]
    assert six == [("0", "0", 6), ("1", "0", 106), ("0", "1", 16), ("1", "1", 116)]
    assert all(int(row["at_ns"]) > 0 for row in rows)


def test_the_last_value_is_of_the_last_attempt(resumed: Site) -> None:
    told = json.loads(resumed.sprov("show", "@last", "--format", "json"))
    assert len(told["attempts"]) == 2
    (loss,) = [row for row in told["series"] if row["name"] == "loss"]
    assert (loss["last"], loss["ranks"], loss["points"]) == (900, 2, 38)
    asked = json.loads(resumed.sprov("ask", "last-metrics", "--format", "json"))
    last = [(r["rank"], r["step"], r["value"]) for r in asked if r["name"] == "loss"]
    assert last == [(0, 12, 900), (1, 12, 910)]


def test_a_curve_has_what_counts(resumed: Site) -> None:
    assert "mean of 2 ranks" in resumed.sprov("metrics", "@last", "loss", "--plot")
