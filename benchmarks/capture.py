"""What capturing a transformation, or a point of a series, costs the caller, against its floor.

The transformation has 10 used and 10 generated values with 16-character names, as users type them;
values change from call to call; the sender runs, and `sprov serve` takes and stores what it sends.
The floor is an empty twin of the very same code, plus the msgspec encode of the record and its
three clock reads (of a point: one).  All run in one process in interleaved chunks, because the
clock of a shared machine flips between speeds; a pause after each round lets the daemons keep up
outside of what is timed.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import random
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

import pllib
from pllib.project import Project
from query.engine import find_engine

from . import service, table, variants
from .workload import GENERATED, USED

Values = tuple[Any, ...]
Chunk = list[Values]
FORMS = {"literal": "literal keys", "prebuilt": "prebuilt dicts"}
COUNT = "SELECT (COUNT(?t) AS ?n) { ?t a provml:DataTransformationExecution }"


class Twin:
    """The same calls as a session and a transformation, doing nothing."""

    def transformation(self, name: str, *, used: Any = None, only_rank: Any = None) -> TwinBlock:
        return TwinBlock(self, name, used, only_rank)

    def metric(self, name: str, value: Any, *, step: Any = None, unit: Any = None) -> None:
        return None


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


def values(seed: int) -> Values:
    """10 used and 10 generated: half floats, half integers, different for each seed."""
    used = (seed + i * 0.37 if i % 2 else seed * 7 + i for i in range(10))
    return (*used, *(seed - i * 0.73 if i % 2 else seed * 3 + i for i in range(10)))


def literal(s: Any, chunk: Chunk) -> int:
    """Return the nanoseconds of a chunk of calls with literal keys."""
    start = time.perf_counter_ns()
    for a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, u, v in chunk:  # noqa: E741
        with s.transformation(
            "normalise_values",
            used={
                "used_value_00000": a,
                "used_value_00001": b,
                "used_value_00002": c,
                "used_value_00003": d,
                "used_value_00004": e,
                "used_value_00005": f,
                "used_value_00006": g,
                "used_value_00007": h,
                "used_value_00008": i,
                "used_value_00009": j,
            },
        ) as t:
            t.generated(
                made_value_00000=k,
                made_value_00001=l,
                made_value_00002=m,
                made_value_00003=n,
                made_value_00004=o,
                made_value_00005=p,
                made_value_00006=q,
                made_value_00007=r,
                made_value_00008=u,
                made_value_00009=v,
            )
    return time.perf_counter_ns() - start


def prebuilt(s: Any, chunk: Chunk) -> int:
    """Return the nanoseconds of a chunk of calls with dicts that the caller has already."""
    dicts = [
        (dict(zip(USED, row[:10], strict=True)), dict(zip(GENERATED, row[10:], strict=True)))
        for row in chunk
    ]
    start = time.perf_counter_ns()
    for used, made in dicts:
        with s.transformation("normalise_values", used=used) as t:
            t.generated(made)
    return time.perf_counter_ns() - start


def encode(chunk: Chunk) -> int:
    """Return the nanoseconds of the encode and clock reads alone."""
    pack = msgspec.msgpack.Encoder().encode
    rows = [
        (2, n, 0, 1, 1_700_000_000_000_000_000, 5000, [*row[:10]], [*row[10:]])
        for n, row in enumerate(chunk)
    ]
    wall, clock = time.time_ns, time.perf_counter_ns
    start = clock()
    for row in rows:
        wall()
        clock()
        clock()
        pack(row)
    return clock() - start


def metric(s: Any, chunk: Chunk) -> int:
    """Return the nanoseconds of a chunk of calls that each record a point."""
    points = [row[1] for row in chunk]
    start = time.perf_counter_ns()
    for point in points:
        s.metric("validation_loss", point)
    return time.perf_counter_ns() - start


def encode_points(chunk: Chunk) -> int:
    """Return the nanoseconds of the encode and clock read of points alone."""
    pack = msgspec.msgpack.Encoder().encode
    wall, clock = time.time_ns, time.perf_counter_ns
    rows = [(7, n, 2, 1, 3, 1_700_000_000_000_000_000, row[1]) for n, row in enumerate(chunk)]
    start = clock()
    for row in rows:
        wall()
        pack(row)
    return clock() - start


def interleave(session: Any, options: argparse.Namespace) -> dict[str, list[float]]:
    """Return what each chunk took, nanoseconds a call, by what ran."""
    twin = Twin()
    runs: dict[str, Callable[[Chunk], int]] = {
        "encode": encode,
        "encode points": encode_points,
        "metric twin": functools.partial(metric, twin),
        "metric capture": functools.partial(metric, pllib.current()),
    }
    for form, call in (("literal", literal), ("prebuilt", prebuilt)):
        runs[f"{form} twin"] = functools.partial(call, twin)
        runs[f"{form} capture"] = functools.partial(call, session)
    taken: dict[str, list[float]] = {name: [] for name in runs}
    names, seed = list(runs), 0
    for nth in range(options.chunks + 1):
        random.shuffle(names)  # whoever comes first after the pause finds the caches cold
        for name in names:
            chunk = [values(seed + i) for i in range(options.calls)]
            seed += options.calls
            took = runs[name](chunk) / options.calls
            if nth:  # the first round makes shapes and chunks
                taken[name].append(took)
        time.sleep(options.pause if session.status == "online" else 0)
    return taken


def captured(options: argparse.Namespace, mode: str) -> dict[str, list[float]]:
    """Capture in a mode; afterwards the store must hold what was captured, all of it."""
    with service.project() as project, contextlib.ExitStack() as stack:
        if mode == "online":
            stack.enter_context(service.serving(project))
        settings = {"close_timeout_s": 30.0}
        with pllib.open(study="benchmark", mode=mode, settings=settings) as session:
            if session.status != mode:
                raise RuntimeError(f"the session is {session.status}, not {mode}")
            with session.stage("training", "fit") as training, training.section("epoch", 3):
                taken = interleave(session, options)
        if getattr(session, "lost", None):
            raise RuntimeError(f"records were lost: {session.lost}")
        if mode == "online":
            check_store(project, 2 * options.calls * (options.chunks + 1))
    return taken


def check_store(project: Project, expected: int) -> None:
    engine = find_engine(project)
    engine.flush()
    found = int(engine.select(COUNT)[0]["n"])
    if not engine.live or found != expected:
        raise RuntimeError(f"captured {expected} transformations, the store holds {found}")
    table.note(f"the live store holds all of {expected} transformations that were captured")


def compare(
    figure: str, measured: list[float], floor: list[float], median: float, mean: float | None
) -> list[table.Row]:
    """Return the median of the chunks' ratios, and the ratio of the means."""
    ratios = [a / b for a, b in zip(measured, floor, strict=True)]
    middle = statistics.median(measured) / 1e3, statistics.median(floor) / 1e3
    rows = [
        table.Row(f"{figure}, median", "us", *middle, statistics.median(ratios), at_most=median)
    ]
    if mean is not None:
        means = statistics.fmean(measured) / 1e3, statistics.fmean(floor) / 1e3
        rows.append(table.compared(f"{figure}, mean", "us", *means, at_most=mean))
    return rows


def total(*parts: Iterable[float]) -> list[float]:
    return [sum(chunks) for chunks in zip(*parts, strict=True)]


def measure(options: argparse.Namespace) -> list[table.Row]:
    mode = "offline" if options.offline else "online"
    taken, off = captured(options, mode), captured(options, "off")
    rows = []
    for form, label in FORMS.items():
        floor = total(taken[f"{form} twin"], taken["encode"])
        figure = f"capture {mode}, {label}"
        rows += compare(figure, taken[f"{form} capture"], floor, 1.6, 2.5)
        figure = f"capture off, {label}"
        rows += compare(figure, off[f"{form} capture"], off[f"{form} twin"], 1.2, None)
    floor = total(taken["metric twin"], taken["encode points"])
    rows += compare(f"metric {mode}", taken["metric capture"], floor, 1.6, None)
    rows += compare("metric off", off["metric capture"], off["metric twin"], 1.2, None)
    return rows if options.best_path else [*rows, *variants.measure()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--offline", action="store_true", help="no daemons")
    parser.add_argument("--best-path", action="store_true", help="nothing of `variants`")
    parser.add_argument("--chunks", type=int, default=400)
    parser.add_argument("--calls", type=int, default=50, help="in a chunk")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds after a round of chunks")
    table.run(measure, parser)
