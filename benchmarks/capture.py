"""What capturing one transformation costs the caller, against its floor.

The record has 10 used and 10 generated values with 16-character names; values change from call to
call; the sender runs.  The floor is an empty twin of the same context-manager calls, plus the
msgspec encode of the record and its three clock reads, all in the same process in interleaved
chunks, because the clock of a shared machine flips between speeds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

CHUNK_CALLS = 200
N_CHUNKS = 400

USED = [f"used_value_{nth:05d}" for nth in range(10)]
GENERATED = [f"made_value_{nth:05d}" for nth in range(10)]


class Twin:
    """The same calls as a session and a transformation, doing nothing."""

    def transformation(self, name: str, *, used: Any = None, only_rank: Any = None) -> TwinBlock:
        return TwinBlock(self, name, used, only_rank)


class TwinBlock:
    __slots__ = ("name", "only_rank", "parent", "used")

    def __init__(self, parent: Twin, name: str, used: Any, only_rank: Any) -> None:
        self.parent = parent
        self.name = name
        self.used = used
        self.only_rank = only_rank

    def __enter__(self) -> TwinBlock:
        return self

    def generated(self, mapping: Any = None, /, **values: Any) -> Any:
        return values

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        return None


def values(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Half floats, half integers, different for each seed."""
    used = {n: (seed + i * 0.37 if i % 2 else seed * 7 + i) for i, n in enumerate(USED)}
    made = {n: (seed - i * 0.73 if i % 2 else seed * 3 + i) for i, n in enumerate(GENERATED)}
    return used, made


def capture(session: Any, inputs: list[tuple[dict[str, Any], dict[str, Any]]]) -> int:
    """Return the nanoseconds that a chunk of calls took."""
    start = time.perf_counter_ns()
    for used, made in inputs:
        with session.transformation("normalise_values", used=used) as execution:
            execution.generated(made)
    return time.perf_counter_ns() - start


def encode(inputs: list[tuple[dict[str, Any], dict[str, Any]]]) -> int:
    """Return the nanoseconds of the encode and clock reads alone."""
    pack = msgspec.msgpack.Encoder().encode
    rows = [
        (2, n, 0, 1, 1_700_000_000_000_000_000, 5000, [*used.values()], [*made.values()])
        for n, (used, made) in enumerate(inputs)
    ]
    wall, clock = time.time_ns, time.perf_counter_ns
    start = clock()
    for row in rows:
        wall()
        clock()
        clock()
        pack(row)
    return clock() - start


def measure(folder: Path, mode: str) -> dict[str, Any]:
    """Interleave twin, capture and encode; return medians and means per call, in ns."""
    import pllib

    twin = Twin()
    taken: dict[str, list[float]] = {"twin": [], "encode": [], "capture": []}
    seed = 0
    settings = {"mode": mode, "spool_dir": str(folder / "spool")}
    with pllib.open(study="benchmark", settings=settings) as session:
        runs: tuple[tuple[str, Callable[[Any], int]], ...] = (
            ("twin", lambda inputs: capture(twin, inputs)),
            ("capture", lambda inputs: capture(session, inputs)),
            ("encode", encode),
        )
        for _ in range(N_CHUNKS):
            for name, run in runs:
                inputs = [values(seed + i) for i in range(CHUNK_CALLS)]
                seed += CHUNK_CALLS
                taken[name].append(run(inputs) / CHUNK_CALLS)
        lost = dict(getattr(session, "lost", {}))
    n_calls = CHUNK_CALLS * N_CHUNKS
    floors = [a + b for a, b in zip(taken["twin"], taken["encode"], strict=True)]
    ratios = [c / f for c, f in zip(taken["capture"], floors, strict=True)]
    return {
        "n_calls": n_calls,
        "lost": lost,
        "twin_ns": statistics.median(taken["twin"]),
        "encode_ns": statistics.median(taken["encode"]),
        "capture_ns": statistics.median(taken["capture"]),
        "ratio_median": statistics.median(ratios),
        "ratio_mean": statistics.fmean(taken["capture"]) / statistics.fmean(floors),
        "ratio_of_twin": statistics.median(
            c / t for c, t in zip(taken["capture"], taken["twin"], strict=True)
        ),
    }


if __name__ == "__main__":
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        os.environ["SPROV_DIR"] = f"{folder}/.sprov"
        for mode in ("offline", "off"):
            print(mode, measure(Path(folder), mode))
