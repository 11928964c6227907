"""What a run's graph lacks: records that ranks lost, and those that only its journal has."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .executions import Reader

Row = dict[str, Any]


def lost(read: Reader) -> list[Row]:
    logs = read.back("sprov:run", [read.run], "log")
    return [{"reason": reason} for _, reason in sorted(read.pairs(logs, "sprov:lost"))]


def skipped(read: Reader) -> list[Row]:
    """Return records that the journal has and the graph only counts, by reason."""
    frames = read.back("sprov:run", [read.run], "skipped")
    reason = read.known(frames, "sprov:skippedReason")
    counts: Counter[str] = Counter()
    for frame, number in read.known(frames, "sprov:skippedRecords").items():
        counts[reason.get(frame, "")] += int(number)
    return [{"records": counts[each], "reason": each} for each in sorted(counts)]
