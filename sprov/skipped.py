"""What journals have and the store only counts: records of a newer version, wrong or refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pllib.identity import iri
from pllib.log import Frame
from tracker.skipped import REFUSED

Rows = Iterable[Mapping[str, str]]
Select = Callable[[str], Rows]
"""Answers a SELECT query: rows of variable to text."""

_BY_REASON = """
SELECT ?reason (SUM(?n) AS ?records) WHERE {
  ?s a sprov:SkippedRecords ; sprov:skippedReason ?reason ; sprov:skippedRecords ?n
} GROUP BY ?reason ORDER BY ?reason
"""

_REFUSED = f"""
SELECT ?log ?frame ?run ?reason WHERE {{
  ?s a sprov:SkippedRecords ; sprov:skippedReason ?reason FILTER(STRSTARTS(?reason, "{REFUSED}"))
  ?s sprov:ofLog ?log ; sprov:frame ?frame ; sprov:run ?run
}} ORDER BY ?log ?frame LIMIT 100
"""


def skipped_by(select: Select) -> dict[str, int]:
    """Return how many records a store says that it lacks, by reason."""
    return {row["reason"]: int(row["records"]) for row in select(_BY_REASON) if "reason" in row}


def refusal(select: Select, frame: Frame) -> str:
    """Return why a manager refused a frame, as its store says; empty if it does not."""
    rows = select(f"""SELECT ?reason WHERE {{
      ?s sprov:ofLog <{iri("log", frame.log_id.hex())}> ; sprov:frame {frame.number} ;
         sprov:skippedReason ?reason }}""")
    reasons = [row["reason"] for row in rows]
    return next((each.removeprefix(REFUSED) for each in reasons if each.startswith(REFUSED)), "")


def refused_frames(select: Select) -> list[dict[str, Any]]:
    """Return the frames that a manager refused, as the store says: log_id, frame, run, reason."""
    rows = select(_REFUSED)
    return [
        {
            "log_id": row["log"].rpartition("/")[2],
            "frame": int(row["frame"]),
            "run": row["run"].rpartition("/")[2],
            "reason": row["reason"].removeprefix(REFUSED),
        }
        for row in rows
    ]


def in_words(reason: str, count: int) -> str:
    return f"{count} record(s) are journalled and can't be stored: {reason}"
