"""Values are recorded as they were given, whatever their names do from call to call."""

from __future__ import annotations

import sys
import threading
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from harness import require_module

import pllib
from pllib.log import LogReader
from pllib.records import (
    Closed,
    Generated,
    Metric,
    Signature,
    Summary,
    Transformation,
    Used,
    decode_values,
)


def steps(spool: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return what transformations used and generated, in order."""
    found: list[tuple[int, dict[str, Any], dict[str, Any]]] = []
    for path in spool.glob("*.log"):
        with LogReader(path) as reader:
            for located in reader.frames():
                names: dict[int, Signature] = {}
                for record in located.frame.records():
                    if isinstance(record, Signature):
                        names[record.id] = record
                    elif isinstance(record, Transformation):
                        known = names[record.signature]
                        used = dict(zip(known.used, decode_values(record.used), strict=True))
                        made = decode_values(record.generated)
                        found.append(
                            (record.seq, used, dict(zip(known.generated, made, strict=True)))
                        )
    return [(used, made) for _, used, made in sorted(found, key=lambda row: row[0])]


def of_kind(spool: Path, kind: type) -> list[Any]:
    found = []
    for path in spool.glob("*.log"):
        with LogReader(path) as reader:
            for located in reader.frames():
                found += [r for r in located.frame.records() if isinstance(r, kind)]
    return found


def test_a_mapping_that_makes_up_values_is_read_and_not_written(spool):
    given = [
        {"lr": 0.1, "momentum": 0.9},
        defaultdict(float, lr=0.2),
        defaultdict(float, lr=0.3, momentum=0.8),
        OrderedDict(lr=0.4),
        MappingProxyType({"lr": 0.5, "momentum": 0.7}),
    ]
    before = [dict(values) for values in given]
    with pllib.open() as session:
        for values in given:
            with session.transformation("step", used=values) as step:
                step.generated(values)
    assert [dict(values) for values in given] == before
    assert steps(spool) == [(values, values) for values in before]


@pytest.mark.parametrize("n_names", [1, 3])
def test_names_that_alternate_are_told_apart_without_exceptions(spool, n_names):
    """Each exception that our frames see is counted: the first times may have some."""
    seen = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal seen
        seen += event == "exception" and "/pllib/" in frame.f_code.co_filename
        return trace

    given = [
        ({f"{letter}{n}": n for n in range(n_names)}, {f"{made}{n}": n for n in range(n_made)})
        for letter, made, n_made in (("a", "b", 1), ("c", "d", 1), ("a", "x", 1), ("c", "", 0))
    ]
    with pllib.open() as session:
        for nth in range(40):
            if nth == 12:
                sys.settrace(trace)
            used, made = given[nth % len(given)]
            with session.transformation("step", used=used) as step:
                if made:
                    step.generated(**made)
        sys.settrace(None)
        assert not session.lost
    assert steps(spool) == [given[nth % len(given)] for nth in range(40)]
    assert seen == 0


def test_names_that_are_equal_and_not_the_same_are_told_apart(spool):
    given: list[dict[Any, Any]] = [{1: "a"}, {True: "b"}, {"1": "c"}, {1.0: "d"}]
    with pllib.open() as session:
        for values in given * 2:
            with session.transformation("step", used=values):
                pass
    assert [used for used, _ in steps(spool)] == [
        {"1": "a"}, {"True": "b"}, {"1": "c"}, {"1.0": "d"},
    ] * 2  # fmt: skip


def test_what_generated_returns_is_a_mapping(spool):
    with pllib.open() as session:
        first = session.generated({"a": 1, "val/acc": 2})
        with session.transformation("step") as step:
            assert step
            second = step.generated(x=1, y=2)
            third = step.generated()
            assert step
    for made, names in ((first, ["a", "val/acc"]), (second, ["x", "y"]), (third, [])):
        assert isinstance(made, Mapping)
        assert list(made) == list(made.keys()) == names
        assert len(made) == len(made.items()) == len(made.values()) == len(names)
        assert bool(made) == bool(names)
        assert all(name in made and made.get(name) is not None for name in names)
        assert made.get("none") is None
        assert dict(made).keys() == set(names)
        assert {**made}.keys() == set(names)
        with pytest.raises(KeyError):
            made["none"]


def test_many_files_in_one_call_are_all_recorded(spool, tmp_path):
    """However long their names are: the limit of a record is in bytes."""
    folder = tmp_path / ("a rather long name of a folder " * 6)
    folder.mkdir()
    paths = [folder / f"{n:05}" for n in range(400)]
    for path in paths:
        path.touch()
    files = [pllib.File(path) for path in paths]
    missing = pllib.File(folder / "missing")
    with pllib.open() as session:
        with session.transformation("first", used={"inputs": files, "n": 1}) as first:
            made = first.generated(outputs=[*files[:300], missing], m=2)
        with session.transformation("second", used={"inputs": made["outputs"]}):
            pass
        session.used(many={"no": "file"}, inputs=tuple(files))
        again = session.generated(outputs=files)
        assert list(again) == ["outputs"]
        session.used(of_handle=again["outputs"])
        assert not session.lost
    names = {p: n for n, p in enumerate(map(str, paths))}
    used, generated = of_kind(spool, Used), of_kind(spool, Generated)

    def numbers(values: Any) -> list[int]:
        found = []
        for value in values:
            if isinstance(value, list):
                found += [names[item.path] for item in value if hasattr(item, "path")]
        return found

    by_activity: dict[int, list[int]] = defaultdict(list)
    for record in used:
        by_activity[record.activity] += numbers(decode_values(record.values))
    for step in of_kind(spool, Transformation):
        by_activity[step.seq] += numbers(decode_values(step.used))
    assert sorted(by_activity.pop(session.seq)) == sorted([*range(400), *range(400)])
    assert sorted(map(len, by_activity.values())) == [300, 400]
    made_by: dict[int, list[int]] = defaultdict(list)
    for record in [*generated, *of_kind(spool, Transformation)]:
        values = record.generated if isinstance(record, Transformation) else record.values
        key = record.seq if isinstance(record, Transformation) else record.activity
        made_by[key] += numbers(decode_values(values))
    assert sorted(map(len, made_by.values())) == [0, 300, 400]


def test_units_that_are_equal_are_one_and_executions_take_turns_in_one_series(spool):
    def unit(name: str) -> str:
        return "".join(name)  # another object each time

    with pllib.open() as session, session.stage("training") as training:
        with session.stage("validation") as validation:
            for n in range(30):
                training.metric("loss", float(n), unit=unit("nats"))
                validation.metric("loss", n + 0.5, unit=unit("nats"))
                training.metric("loss", -1.0, unit=unit("bits"))
                if n % 10 == 9:
                    assert len(session.local.lines["loss"].others) == 3
        line = session.local.lines["loss"]
        assert line.totals is next(iter(line.others.values())).totals
    points = of_kind(spool, Metric)
    assert [(p.value, p.unit) for p in points[:3]] == [(0.0, "nats"), (0.5, "nats"), (-1.0, "bits")]
    assert {p.value for p in points if p.activity == validation.seq} == {n + 0.5 for n in range(30)}
    (summary,) = of_kind(spool, Summary)
    assert (summary.n_points, summary.first, summary.last) == (90, 0.0, -1.0)
    assert (summary.least, summary.most) == (-1.0, 29.5)


def test_points_of_one_series_may_come_from_many_executions(spool):
    with pllib.open() as session, session.stage("training") as training:
        for epoch in training.sections("epoch", 50):
            epoch.metric("loss", float(epoch.index))
            training.metric("loss", 100.0)
    points = of_kind(spool, Metric)
    assert sorted(p.value for p in points) == [*map(float, range(50)), *[100.0] * 50]
    (summary,) = of_kind(spool, Summary)
    assert (summary.n_points, summary.first, summary.last) == (100, 0.0, 100.0)


def test_a_metric_takes_whatever_holds_one_number(spool):
    require_module("torch", "lifecycle")
    import torch

    given = [
        1, True, 0.5, np.float32(0.5), np.int64(3), np.array(2.0), np.array([2.5]), "0.25",
        torch.tensor(1.5, requires_grad=True), torch.tensor([[3.5]], requires_grad=True),
        torch.tensor(4, dtype=torch.int32), torch.tensor(0.5, dtype=torch.bfloat16),
    ]  # fmt: skip
    with warnings.catch_warnings(), pllib.open() as session:
        warnings.simplefilter("error")
        for value in given * 2:  # the first goes another way
            session.metric("loss", value)
        assert not session.lost
        for value in (np.array([1.0, 2.0]), None, [1.0], object(), "one"):
            session.metric("loss", value)
        assert sum(session.lost.values()) == 5
    assert [p.value for p in of_kind(spool, Metric)] == [
        1, 1, 0.5, 0.5, 3, 2, 2.5, 0.25, 1.5, 3.5, 4, 0.5,
    ] * 2  # fmt: skip


def test_threads_alternate_each_by_itself(spool):
    def work(session: pllib.Session, letter: str) -> None:
        for n in range(500):
            with session.transformation("step", used={letter: n}) as step:
                step.generated(**{f"{letter}{n % 2}": n})
                step.metric("loss", n, unit=letter)

    with pllib.open() as session:
        threads = [threading.Thread(target=work, args=(session, letter)) for letter in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not session.lost
    found = steps(spool)
    for letter in "abc":
        mine = [(used[letter], made) for used, made in found if letter in used]
        assert sorted(mine, key=lambda row: row[0]) == [
            (n, {f"{letter}{n % 2}": n}) for n in range(500)
        ]
    assert sum(s.n_points for s in of_kind(spool, Summary)) == 1500


def test_a_configuration_of_ten_thousand_settings_is_kept_whole(spool):
    config = {"id2label": {str(n): f"class {n}" for n in range(9_999)}, "lr": 3e-4}
    with pllib.open(config=config) as session:
        assert not session.lost
    names = [name for s in of_kind(spool, Signature) for name in s.used]
    assert len(set(names)) == 10_000
    assert "hp:lr" in names


def test_settings_over_the_limit_are_counted(spool):
    config = {"a": dict.fromkeys(map(str, range(70_000)), 1), "lr": 3e-4}
    with pllib.open(config=config) as session:
        assert session.lost == {"settings over 65,536": 70_000 - 65_536 + 1}
    (closed,) = of_kind(spool, Closed)
    assert closed.lost == {"settings over 65,536": 4_465}
