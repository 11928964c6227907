"""What training loops say besides values: each call in its log, and through to the graph."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import math
import multiprocessing
import os
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from harness import Site, require_module

import pllib
from pllib.config import flatten
from pllib.identity import ID_BASE
from pllib.log import LogReader
from pllib.off import Off
from pllib.records import (
    Adapted,
    AnyRecord,
    Closed,
    Context,
    Declared,
    Described,
    Generated,
    Metric,
    RunReference,
    Signature,
    Started,
    Summary,
    Transformation,
    Used,
    decode_values,
)
from pllib.series import POINT_BYTES
from pllib.shape import MAX_SHAPES

RUN = "0123456789abcdef" * 2


class Log:
    """All records of a project's offline logs, with the names of their values."""

    def __init__(self, spool: Path) -> None:
        self.records: list[AnyRecord] = []
        self.signatures: dict[int, Signature] = {}
        for path in sorted(spool.glob("*.log")):
            with LogReader(path) as reader:
                for located in reader.frames():
                    names = {}
                    for record in located.frame.records():
                        if isinstance(record, Signature):
                            names[record.id] = record
                        elif hasattr(record, "signature"):
                            self.signatures[id(record)] = names[record.signature]
                        self.records.append(record)
                assert (reader.corrupt, reader.torn) == ([], 0)

    def of(self, kind: type) -> list:
        return [record for record in self.records if isinstance(record, kind)]

    def name(self, record: AnyRecord) -> Signature:
        return self.signatures[id(record)]

    def used(self) -> dict[str, object]:
        """Return all that was used in `Used` records, by name."""
        found: dict[str, object] = {}
        for record in self.of(Used):
            values = decode_values(record.values)
            found.update(zip(self.name(record).used, values, strict=True))
        return found

    def lost(self) -> dict[str, int]:
        (closed,) = self.of(Closed)
        assert closed.n_records == len(self.records) - len(self.of(Context) + self.of(Signature))
        return closed.lost


@pytest.fixture
def spool(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SPROV_DIR", str(tmp_path / ".sprov"))
    monkeypatch.setenv("SPROV_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".sprov" / "spool"


def test_a_hyperparameter_is_recorded_when_it_changes(spool):
    with (
        pllib.open() as session,
        session.stage("training", "fit", hyperparameters={"lr": 0.1, "seed": 1}) as training,
    ):
        for epoch in training.sections("epoch", 4):
            epoch.hyperparameter("lr", (0.1, 0.1, 0.01, 0.01)[epoch.index])
            epoch.hyperparameter("seed", (1, 1.0, 1.0, math.nan)[epoch.index])
        training.hyperparameter("momentum", math.nan, step=9)
        training.hyperparameter("momentum", math.nan)
    log = Log(spool)
    changes = [(*log.name(r).used, *decode_values(r.values), r.step) for r in log.of(Adapted)]
    assert str(changes) == str(
        [("hp:seed", 1.0, 1), ("hp:lr", 0.01, 2), ("hp:seed", math.nan, 3),
         ("hp:momentum", math.nan, 9)]
    )  # fmt: skip
    epochs = [r.activity for r in log.of(Started) if r.index is not None]
    assert [r.activity for r in log.of(Adapted)][:3] == epochs[1:]
    assert log.lost() == {}


def test_each_stage_and_the_run_have_settings_of_their_own(spool):
    with pllib.open(config={"lr": 1}) as session:
        session.hyperparameter("lr", 1)
        for _ in range(2):
            with session.stage("training", "fit", hyperparameters={"lr": 2}) as training:
                training.hyperparameter("lr", 2)
                with training.transformation("step") as step:
                    step.hyperparameter("lr", 2)
                training.hyperparameter("lr", 1)
        session.hyperparameter("lr", 2)
    log = Log(spool)
    assert [decode_values(r.values) for r in log.of(Adapted)] == [[1], [1], [2]]


def test_a_checkpoint_is_a_model_version_with_its_step_and_score(spool, tmp_path):
    path = tmp_path / "model.pt"
    with pllib.open() as session, session.stage("training", "fit") as training:
        for epoch in training.sections("epoch", 2):
            path.write_text("x" * (epoch.index + 1))
            training.checkpoint(path, metric={"acc": 0.5, "f1": 0.25}, best=epoch.index == 1)
        training.checkpoint(path, step=7, metric=math.nan)
        session.checkpoint(tmp_path / "none", metric="high", step="last")
    log = Log(spool)
    made = [decode_values(r.values)[0] for r in log.of(Generated)]
    assert {log.name(r).generated for r in log.of(Generated)} == {("checkpoint",)}
    assert [(m.kind, m.size, m.step, m.best, m.score) for m in made[:2]] == [
        ("checkpoint", 1, 0, False, 0.5),
        ("checkpoint", 2, 1, True, 0.5),
    ]
    assert made[0].characteristics == {"acc": 0.5, "f1": 0.25}
    assert made[2].step == 7
    assert math.isnan(made[2].score)
    assert isinstance(made[3], Described)
    assert sum(log.lost().values()) == 2


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (RUN, RunReference(RUN)),
        (f"{ID_BASE}run/{RUN}", RunReference(RUN)),
        (RunReference(RUN), RunReference(RUN)),
        (RUN.upper(), RUN.upper()),
        ("the one of last week", "the one of last week"),
        (f"{ID_BASE}activity/{RUN}", f"{ID_BASE}activity/{RUN}"),
        (7, 7),
    ],
)
def test_what_a_run_resumes_from_is_a_run_or_what_was_said(spool, origin, expected):
    with pllib.open(resume_from=origin):
        pass
    assert Log(spool).used() == {"resumed_from": expected}


def test_a_run_resumes_from_a_session_or_a_checkpoint(spool, tmp_path):
    path = tmp_path / "model.pt"
    path.touch()
    with pllib.open() as first:
        pass
    with pllib.open() as session, session.stage("training", "fit") as training:
        session.resumed_from(first)
        training.resumed_from(str(path))
        training.resumed_from(tmp_path / "none")
    log = Log(spool)
    by_run, by_path, missing = (decode_values(r.values)[0] for r in log.of(Used))
    assert by_run == RunReference(first.run)
    assert (by_path.path, by_path.kind) == (str(path), "checkpoint")
    assert isinstance(missing, Described)


def test_trials_share_a_plan_and_are_told_apart_by_their_path(spool):
    with pllib.open() as session:
        for lr in (0.1, 0.2):
            with session.trial(f"lr/{lr}", {"lr": lr}) as trial:
                trial.generated(accuracy=lr)
    log = Log(spool)
    trials = [r for r in log.of(Started) if log.name(r).kind == "trial"]
    assert [(log.name(r).name, r.label, r.path) for r in trials] == [
        ("trial", "lr/0.1", "trial:lr%2F0.1::0"),
        ("trial", "lr/0.2", "trial:lr%2F0.2::0"),
    ]
    assert [decode_values(r.values) for r in log.of(Used)] == [[0.1], [0.2]]


def test_what_a_stage_says_of_its_plan_is_declared_once(spool):
    with pllib.open() as session:
        for evaluation in ("e", "e", "f"):
            with session.stage("training", "fit", task="t", evaluation=evaluation):
                pass
        with session.stage("training", "other", model_hyperparameters={"layers": 2}):
            pass
    log = Log(spool)
    declared = log.of(Declared)
    assert [(d.kind, d.name, d.on_the_fly) for d in declared] == [("training", "fit", True)] * 2
    said = [msgspec.msgpack.decode(d.properties) for d in declared]
    assert said == [{"task": "t", "evaluation": "e"}, {"task": "t", "evaluation": "f"}]
    assert log.used() == {"mhp:layers": 2}


def test_a_series_is_summed_up_at_the_end(spool):
    points = [3.0, math.nan, 1.0, math.inf, 2.0]
    with pllib.open() as session, session.stage("training", "fit") as training:
        for epoch in training.sections("epoch", len(points)):
            epoch.metric("loss", points[epoch.index], unit="nat")
            training.metrics({"all": 1, "none": math.nan})
    log = Log(spool)
    found = {log.name(s).generated[0]: s for s in log.of(Summary)}
    loss, none = found["loss"], found["none"]
    assert (loss.n_points, loss.n_not_finite, loss.first, loss.last) == (5, 2, 3.0, 2.0)
    assert (loss.least, loss.most, loss.total) == (1.0, 3.0, 6.0)
    assert (log.name(loss).kind, log.name(loss).name) == ("epoch", "epoch")
    assert (none.n_points, none.n_not_finite, none.least, none.total) == (5, 5, None, 0.0)
    assert math.isnan(none.first)
    assert (log.name(none).kind, log.name(none).name) == ("training", "fit")
    metrics = [(log.name(m).generated[0], m.step) for m in log.of(Metric)]
    assert metrics == [(n, s) for s in range(5) for n in ("loss", "all", "none")]
    assert {m.unit for m in log.of(Metric) if log.name(m).generated == ("loss",)} == {"nat"}
    assert str([m.value for m in log.of(Metric)][::3]) == str(points)


def test_a_point_written_in_the_fast_way_is_any_point(spool):
    """Of each series the first point of a chunk is encoded, and all others are packed by hand."""
    steps = [None, 0, -1, 2**31, 2**63 - 1, True, None]
    with pllib.open() as session, session.stage("training") as training:
        for _ in range(3):
            for nth, step in enumerate(steps):
                training.metric("a", nth, step=step)
                training.metric("b", float(nth), step=step, unit="s")
        with training.section("epoch", 5):
            training.metric("a", 0.5)
            session.metric("a", 1.5)
            session.metric("a", 2.5)
    log = Log(spool)
    points = log.of(Metric)
    assert [m.step for m in points] == [s for step in steps * 3 for s in (step, step)] + [5] * 3
    values = [float(v) for _ in range(3) for nth in range(len(steps)) for v in (nth, nth)]
    assert [m.value for m in points] == [*values, 0.5, 1.5, 2.5]
    assert all(type(m.value) is float for m in points)
    assert len({m.seq for m in points}) == len(points)
    run, fit = (r.activity for r in log.of(Started)[:2])
    assert [m.activity for m in points] == [fit] * (len(points) - 2) + [run] * 2
    assert log.lost() == {}
    (a,) = [s for s in log.of(Summary) if log.name(s).generated == ("a",)]
    assert (a.n_points, a.last) == (3 * len(steps) + 3, 2.5)


@pytest.mark.parametrize("step", [2**63, -(2**70), "one", [], 1.5j])
def test_a_step_that_is_none_costs_that_point_and_no_other(spool, step):
    with pllib.open(settings={"flush_bytes": 4096}) as session:
        for nth in range(300):
            session.metric("a", nth)
            session.metric("a", nth, step=step)
    log = Log(spool)
    assert [m.value for m in log.of(Metric)] == [float(nth) for nth in range(300)]
    assert sum(log.lost().values()) == 300


def test_points_of_many_chunks_and_threads_are_summed_up_whole(spool):
    n_points, n_threads = 5000, 4

    def say(session: pllib.Session, number: int) -> None:
        for nth in range(n_points):
            session.metric("loss", number * n_points + nth)

    with pllib.open(settings={"flush_bytes": 4096, "flush_age_s": 0.001}) as session:
        for number in range(2):
            say(session, number)
        threads = [threading.Thread(target=say, args=(session, n)) for n in (2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    log = Log(spool)
    n_all = n_points * n_threads
    points = log.of(Metric)
    assert sorted(m.value for m in points) == [float(n) for n in range(n_all)]
    (summary,) = log.of(Summary)
    assert (summary.n_points, summary.n_not_finite) == (n_all, 0)
    assert (summary.first, summary.least, summary.most) == (0.0, 0.0, float(n_all - 1))
    assert summary.total == n_all * (n_all - 1) / 2
    assert summary.last == max(points, key=lambda m: m.seq).value
    assert len(points) * POINT_BYTES > 100 * 4096


def test_a_signal_handler_may_record_a_point_in_the_middle_of_one(spool):
    hits = 0

    def handle(*_: object) -> None:
        nonlocal hits
        hits += 1
        session.metric("loss", -1.0)

    with pllib.open(settings={"flush_bytes": 4096}) as session:
        before = signal.signal(signal.SIGALRM, handle)
        try:
            n_points = handled = 0
            while hits < 300:
                if hits == handled:
                    handled += 1
                    signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + n_points % 97))
                session.metric("loss", 1.0)
                n_points += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    log = Log(spool)
    points = log.of(Metric)
    assert len({m.seq for m in points}) == len(points) == n_points + hits
    assert sum(m.value for m in points) == n_points - hits


def test_what_a_signal_handler_raises_goes_on_out_of_a_metric(spool):
    class TimeLimitError(Exception): ...

    raised = seen = said = 0
    armed = False

    def handle(*_: object) -> None:
        nonlocal raised
        if armed:
            raised += 1
            raise struct.error if raised % 2 else TimeLimitError

    before = signal.signal(signal.SIGALRM, handle)
    try:
        with pllib.open() as session:
            while raised < 200:
                armed = True
                try:
                    n_before = raised
                    signal.setitimer(signal.ITIMER_REAL, 2e-5 * (1 + raised % 31))
                    while raised == n_before:
                        session.metric("loss", 1.0)
                        said += 1
                except (TimeLimitError, struct.error):
                    seen += 1
                finally:
                    armed = False
    finally:
        signal.signal(signal.SIGALRM, before)
    points = Log(spool).of(Metric)
    assert seen == raised
    # Each interrupt costs a chunk, and others are allocated no faster than the sender gets to it.
    assert said <= len(points) + session.lost["spool full"] <= said + seen
    assert {m.value for m in points} == {1.0}


class Interrupting:
    """Stands for stderr; a time limit of the program strikes while we write to it."""

    def write(self, _: str) -> None:
        signal.raise_signal(signal.SIGUSR1)


@pytest.mark.parametrize("error", [TimeoutError, ValueError, LookupError])
def test_what_a_signal_handler_raises_goes_on_out_of_a_message(spool, monkeypatch, error):
    def handle(*_: object) -> None:
        raise error("time is up")

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with pllib.open() as session:
            monkeypatch.setattr("sys.stderr", Interrupting())
            with pytest.raises(error, match="time is up"):
                session.metric("loss", "no number")
            monkeypatch.undo()
            session.metric("loss", 1.0)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [point.value for point in Log(spool).of(Metric)] == [1.0]


def test_a_program_that_makes_up_names_of_series_does_not_grow_us(spool):
    with pllib.open() as session:
        for nth in range(MAX_SHAPES + 50):
            session.metric(f"m{nth}", nth)
        n_known = sum(len(writer.totals) for writer in session._writers)
    log = Log(spool)
    assert len(log.of(Metric)) == MAX_SHAPES + 50
    assert len(log.of(Summary)) == n_known == MAX_SHAPES
    assert any("no summary" in reason for reason in log.lost())


def test_the_default_step_is_ones_own_else_the_innermost(spool):
    with pllib.open() as session, session.stage("training") as training:
        for epoch in training.sections("epoch", 2):
            for batch in epoch.sections("batch", [7, 8]):
                for execution in (session, training, epoch, batch):
                    for _ in range(2):
                        execution.metric("loss", 1.0)
                with batch.transformation("step") as step, session.stage("validation") as check:
                    step.metric("loss", 1.0)
                    check.metric("loss", 1.0)
    steps = [m.step for m in Log(spool).of(Metric)]
    assert steps == [
        step for e in range(2) for b in (7, 8) for step in (b, b, b, b, e, e, b, b, b, b)
    ]


def test_a_stage_that_is_entered_again_is_another(spool):
    with pllib.open() as session:
        training = session.stage("training", "fit")
        training.metric("loss", 0.0)
        for _ in range(2):
            with training:
                for _ in range(3):
                    training.metric("loss", 1.0)
    log = Log(spool)
    stages = [r.activity for r in log.of(Started) if log.name(r).kind == "training"]
    assert [m.activity for m in log.of(Metric)[1:]] == [s for s in stages for _ in range(3)]


def test_a_forked_child_writes_no_points_into_its_parents_log(spool):
    with pllib.open() as session:
        session.metric("loss", 1.0)
        session.metric("loss", 2.0)
        child = multiprocessing.get_context("fork").Process(
            target=lambda: [session.metric("loss", 9.0) for _ in range(9)]
        )
        child.start()
        child.join(60)
        assert child.exitcode == 0
        session.metric("loss", 3.0)
    assert [m.value for m in Log(spool).of(Metric)] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("version", [None, "1"])
def test_a_data_set_of_many_files_is_recorded_in_pieces(spool, tmp_path, version):
    for nth in range(500):
        (tmp_path / f"shard {nth:04}").touch()
    files = sorted(tmp_path.glob("shard *"))
    data = pllib.Dataset("shards", version=version, files=[*files, tmp_path / "none"], n=3)
    with pllib.open() as session:
        with session.transformation("pack") as pack:
            pack.generated(data=data)
        with session.stage("training", used={"data": data}):
            pass
        session.generated({"data": data, "beside": 1})
    log = Log(spool)
    said = [decode_values(r.values)[0] for r in log.of(Used)]
    assert [log.name(r).used for r in log.of(Used)] == [("data",)] * len(said)
    assert [Path(file.path) for piece in said for file in piece.files] == files
    (whole,) = decode_values(log.of(Transformation)[0].generated)
    pieces = {(d.name, d.version, d.fingerprint, d.split) for d in (whole, *said)}
    assert len(pieces) == 1
    assert said[0].characteristics["n_files"] == whole.characteristics["n_files"] == 501
    assert said[0].characteristics["n_files_unreadable"] == 1
    made = [dict(zip(log.name(r).generated, decode_values(r.values), strict=True))
            for r in log.of(Generated) if r.activity == session.seq]  # fmt: skip
    of_step = [decode_values(r.values)[0] for r in log.of(Generated) if r.activity == pack.seq]
    assert [Path(file.path) for piece in of_step for file in piece.files] == files
    assert [r.get("beside") for r in made] == [1] + [None] * (len(made) - 1)
    assert sum(len(r["data"].files) for r in made) == 500


class Raising:
    """Every attribute but one raises."""

    def __init__(self) -> None:
        self.good = 1
        self.bad = 2

    def __getattribute__(self, name: str) -> object:
        if name == "bad":
            raise RuntimeError("not now")
        return object.__getattribute__(self, name)


class RaisingDict(dict):
    def __getitem__(self, key: object) -> object:
        raise KeyError(key)


@dataclasses.dataclass
class Optimizer:
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)


@dataclasses.dataclass
class Training:
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    epochs: int = 3


class Pydantic:
    """What a pydantic 2 model looks like from outside; that is no dependency."""

    model_fields = {"lr": None, "inner": None}

    def __init__(self, lr: float, inner: object) -> None:
        self.lr = lr
        self.inner = inner
        self._private = 1


class Slots:
    __slots__ = ("lr",)


FLAT = [
    (None, {}),
    ({"a": {"b": {"c": 1}, "d": []}, "e": {}}, {"a.b.c": 1, "a.d": [], "e": {}}),
    ({1: 2, ("x", "y"): 3}, {"1": 2, "('x', 'y')": 3}),
    (argparse.Namespace(lr=1, sub=argparse.Namespace(x=2)), {"lr": 1, "sub.x": 2}),
    (Training(), {"optimizer.lr": 0.1, "optimizer.betas": (0.9, 0.99), "epochs": 3}),
    (Pydantic(0.5, Pydantic(1, [2])), {"lr": 0.5, "inner.lr": 1, "inner.inner": [2]}),
    (7, {"config": 7}),
    ([1, 2], {"config": [1, 2]}),
]


@pytest.mark.parametrize(("config", "flat"), FLAT, ids=lambda value: type(value).__name__)
def test_configurations_of_any_kind_are_flattened(config, flat):
    assert flatten(config) == flat


def test_omegaconf_is_resolved_and_what_is_missing_described(spool):
    require_module("omegaconf", "dev")
    import omegaconf

    config = omegaconf.OmegaConf.create(
        {
            "base": 2,
            "twice": "${base}",
            "lr": "???",
            "broken": "${nowhere}",
            "layers": ["${base}", 4],
            "worse": ["${nowhere}"],
            "inner": {"path": "run-${base}", "empty": {}},
            "nothing": None,
        }
    )
    with pllib.open(config=config):
        pass
    log = Log(spool)
    found = log.used()
    described = {name for name, value in found.items() if isinstance(value, Described)}
    assert described == {"hp:lr", "hp:broken", "hp:worse"}
    assert {name: value for name, value in found.items() if name not in described} == {
        "hp:base": 2, "hp:twice": 2, "hp:layers": [2, 4], "hp:inner.path": "run-2",
        "hp:inner.empty": {}, "hp:nothing": None,
    }  # fmt: skip
    assert found["hp:lr"].type == "MissingMandatoryValue"
    assert log.lost() == {}


@pytest.mark.parametrize(
    "config",
    [
        Raising(),
        {"good": 1, "bad": Raising()},
        {"good": 1, "bad": RaisingDict(x=1)},
        RaisingDict(x=1),
    ],
)
def test_a_configuration_that_raises_costs_only_what_raises(spool, config):
    with pllib.open(config=config) as session:
        session.used(after=1)
    log = Log(spool)
    found = log.used()
    assert found.pop("after") == 1
    assert found.pop("hp:good", 1) == 1
    assert len(found) == 1
    assert all(isinstance(value, Described) for value in found.values())


def test_a_configuration_that_contains_itself_ends(spool):
    config: dict[str, object] = {"a": 1}
    config["left"] = config["right"] = config
    with pllib.open(config=config):
        pass
    log = Log(spool)
    assert log.used().pop("hp:a") == 1
    assert "in itself" in log.used()["hp:left"].reason
    assert len(log.used()) == 3


def test_a_configuration_of_thousands_of_names_is_kept_whole(spool):
    with pllib.open() as session:
        settings = {f"{'layer' * 40}.{nth}": "x" * 300 for nth in range(3000)}
        with session.stage("training", hyperparameters=settings) as training:
            training.hyperparameter(f"{'layer' * 40}.7", "x" * 300)
    log = Log(spool)
    assert len(log.used()) == 3000
    assert log.of(Adapted) == []
    assert log.lost() == {}


class Opaque:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "misuse",
    [
        lambda s: s.hyperparameter("lr", Opaque()),
        lambda s: s.hyperparameter(Opaque(), 1),
        lambda s: s.hyperparameter("lr", 1, step="first"),
        lambda s: s.checkpoint(None),
        lambda s: s.checkpoint("model.pt", metric=Opaque(), best=Opaque(), step=Opaque()),
        lambda s: s.checkpoint("model.pt", metric={Opaque(): Opaque()}),
        lambda s: s.resumed_from(Opaque()),
        lambda s: s.resumed_from(""),
        lambda s: s.resumed_from("\0"),
        lambda s: s.trial(Opaque(), Opaque()).__enter__(),
        lambda s: s.trial("t", {"x": Opaque()}, used=[1]).__enter__(),
        lambda s: s.stage("training", hyperparameters=Opaque(), used=7, task=Opaque()).__enter__(),
        lambda s: s.stage("training", model_hyperparameters=5, evaluation=["x"]).__enter__(),
        lambda s: s.metric("loss", 1.0, unit=Opaque()),
        lambda s: s.metric(["loss"], 1.0),
        lambda s: s.metric("loss", Opaque()),
        lambda s: s.used(d=pllib.Dataset(Opaque(), version=Opaque(), files=["none"])),
        lambda s: s.used(r=pllib.Ref(Opaque(), Opaque())),
        lambda s: s.used(d=pllib.Directory("\0")),
        lambda s: pllib.declare(Opaque()),
        lambda s: pllib.declare({"stages": [{"kind": Opaque()}], Opaque(): 1}),
        lambda s: pllib.declare({"study": RaisingDict(x=1), "stages": RaisingDict(x=1)}),
    ],
)
def test_wrong_calls_never_raise_and_the_rest_is_kept(spool, misuse, capsys):
    with pllib.open() as session, session.stage("training") as training:
        misuse(training)
        training.metric("good", 1.0)
        training.hyperparameter("good", 1)
    log = Log(spool)
    assert [m.value for m in log.of(Metric) if log.name(m).generated == ("good",)] == [1.0]
    assert [log.name(a).used for a in log.of(Adapted)][-1] == ("hp:good",)
    assert all(type(m.unit) in (str, type(None)) for m in log.of(Metric))
    log.lost()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("misuse", "n_lost"),
    [
        (lambda s: s.metric("loss", "high"), 1),
        (lambda s: s.hyperparameter("lr", 1, step="first"), 1),
        (lambda s: s.checkpoint("model.pt", metric="high"), 1),
        (lambda s: pllib.declare({"studdy": "a", "stages": [{"kind": "x"}]}), 2),
        (lambda s: pllib.declare("none.json"), 1),
    ],
)
def test_what_can_not_be_kept_is_counted(spool, misuse, n_lost, capsys):
    with pllib.open() as session:
        misuse(session)
    assert sum(Log(spool).lost().values()) == n_lost
    assert "sprov: rank 0: " in capsys.readouterr().err


def test_off_has_every_call_with_the_same_arguments():
    calls = {
        name: value
        for name, value in inspect.getmembers(pllib.Execution, inspect.isfunction)
        if not name.startswith("_") and name not in ("default_step", "start_with")
    }
    for name, call in calls.items():
        ours = inspect.signature(call).replace(return_annotation=None)
        off = inspect.signature(getattr(Off, name)).replace(return_annotation=None)
        assert ours == off, name


def test_off_does_nothing(spool, tmp_path):
    with (
        pllib.open(mode="off", config=Raising(), resume_from="x") as session,
        session.trial("a", {"lr": 1}) as trial,
        trial.stage("training", task="t") as training,
    ):
        training.hyperparameter("lr", 1)
        training.checkpoint("none")
        training.resumed_from("none")
        training.metric("loss", "high")
    assert not (tmp_path / ".sprov").exists()


GIT = {
    "ref": {"HEAD": "ref: refs/heads/main\n", "refs/heads/main": f"{'a' * 40}\n"},
    "packed": {
        "HEAD": "ref: refs/heads/main\n",
        "packed-refs": f"# pack-refs\n{'c' * 40} refs/heads/mai\n{'a' * 40} refs/heads/main\n",
    },
    "detached": {"HEAD": f"{'a' * 40}\n"},
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def fact(spool: Path, name: str) -> str | None:
    (session, *_) = Log(spool).of(Context)
    return session.facts.get(name)


@pytest.mark.parametrize("layout", GIT)
def test_the_commit_of_the_working_folder_is_a_fact(spool, tmp_path, monkeypatch, layout):
    write(tmp_path / ".git", GIT[layout])
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    with pllib.open():
        pass
    assert fact(spool, "git_commit") == "a" * 40
    assert fact(spool, "working_folder") == str(tmp_path / "deep" / "er")


@pytest.mark.parametrize("layout", ["ref", "packed"])
def test_a_worktree_has_a_commit_of_its_own(spool, tmp_path, monkeypatch, layout):
    files = dict(GIT[layout])
    mine = {"worktrees/w/HEAD": files.pop("HEAD"), "worktrees/w/commondir": "../..\n"}
    write(tmp_path / "main" / ".git", {**files, **mine, "HEAD": "ref: refs/heads/other\n"})
    write(tmp_path / "w", {".git": f"gitdir: {tmp_path}/main/.git/worktrees/w\n"})
    monkeypatch.chdir(tmp_path / "w")
    with pllib.open():
        pass
    assert fact(spool, "git_commit") == "a" * 40


@pytest.mark.parametrize(
    "files",
    [
        {".git/HEAD": "ref: refs/heads/none\n"},
        {".git/HEAD": "ref: ../../secret\n", "secret": "a" * 40},
        {".git/HEAD": "nonsense"},
        {".git": "nonsense"},
        {".git": "gitdir: /nowhere\n"},
        {".git/x": ""},
        {".git/HEAD/x": ""},
        {".git/HEAD": "ref: a\0b\n"},
    ],
)
def test_a_repository_that_is_none_is_no_fact(spool, tmp_path, files):
    write(tmp_path, files)
    with pllib.open():
        pass
    assert fact(spool, "git_commit") is None


def test_a_fifo_in_place_of_a_reference_does_not_hold_us_up(spool, tmp_path):
    write(tmp_path / ".git", {"config": ""})
    os.mkfifo(tmp_path / ".git" / "HEAD")
    with pllib.open():
        pass
    assert fact(spool, "git_commit") is None


def test_facts_are_the_surroundings_and_no_secrets(spool, monkeypatch):
    monkeypatch.setenv("APPTAINER_CONTAINER", "/images/torch.sif")
    monkeypatch.setenv("CONDA_PREFIX", "/envs/torch")
    monkeypatch.setenv("API_TOKEN", "hunter2")
    monkeypatch.setattr(sys, "argv", [__file__, "--password=hunter2"])
    with pllib.open(facts={"container": "mine", "odd": Path("x")}):
        pass
    log = Log(spool)
    (facts, *_) = [context.facts for context in log.of(Context)]
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert (facts["conda"], facts["container"], facts["odd"]) == ("/envs/torch", "mine", "x")
    assert facts["program_path"] == __file__
    assert "hunter2" not in str(facts)


def test_a_working_folder_that_is_gone_is_no_fact(spool, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pllib.open():
        pass
    assert fact(spool, "working_folder") is None


def test_a_declaration_waits_for_the_next_session(spool, tmp_path, capsys):
    (tmp_path / "plan.json").write_text('{"study": "digits", "stages": [{"kind": "x"}]}')
    pllib.declare("plan.json")
    with pllib.open():
        pllib.declare({"experiment": "mlp"})
    log = Log(spool)
    assert [(d.kind, d.name) for d in log.of(Declared)] == [
        ("study", "digits"),
        ("workflow", ""),
        ("experiment", "mlp"),
    ]
    assert len({d.seq for d in log.of(Declared)}) == 3
    assert sum(log.lost().values()) == 1
    assert capsys.readouterr().err.count("no class of stage 'x'") == 1
    with pllib.open():
        pass
    assert len(Log(spool).of(Declared)) == 3


@pytest.fixture(scope="module")
def captured(tmp_path_factory) -> Site:
    """A project in which tests/programs/api.py ran, ingested."""
    site = Site(tmp_path_factory.mktemp("api"))
    site.run("api.py")
    site.sprov("ingest")
    return site


def test_summaries_are_in_the_graph(captured: Site):
    rows = captured.select(
        "SELECT ?name ?n ?bad ?first ?last ?least ?most ?mean ?unit { ?s a sprov:Series ;"
        " rdfs:label ?name ; sprov:points ?n ; sprov:notFinite ?bad ; sprov:first ?first ;"
        " sprov:last ?last ; sprov:least ?least ; sprov:most ?most ; sprov:mean ?mean ."
        " OPTIONAL { ?s sprov:unit ?unit } } ORDER BY ?name"
    )
    seconds, loss = rows
    assert (seconds["name"], seconds["n"], seconds["unit"]) == ("epoch time", "4", "s")
    points = [1 / (1 + e + b) for e in range(4) for b in range(5) if (e, b) != (1, 1)] + [3.0]
    assert (loss["n"], loss["bad"]) == (str(len(points) + 1), "1")
    assert float(loss["mean"]) == pytest.approx(sum(points) / len(points))
    assert (float(loss["least"]), float(loss["most"])) == (min(points), max(points))
    assert (float(loss["first"]), float(loss["last"])) == (points[0], points[-1])


def test_a_hyperparameter_that_changed_is_in_the_graph(captured: Site):
    (change,) = captured.select(
        "SELECT ?value ?step ?index { ?epoch prov:qualifiedUsage ?u ; sprov:index ?index ."
        " ?u sprov:step ?step ; prov:atTime ?at ; prov:entity ?e . ?e prov:value ?value ;"
        ' provml:ofAttribute/rdfs:label "lr" }'
    )
    assert change == {"value": "0.01", "step": "2", "index": "2"}


def test_checkpoints_are_in_the_graph_and_the_best_is_marked(captured: Site):
    rows = captured.select(
        "SELECT ?step ?score ?best ?f1 ?epoch { ?m a provml:Checkpoint ; sprov:step ?step ;"
        " sprov:score ?score ; prov:wasGeneratedBy/sprov:index ?epoch ;"
        ' provml:hasCharacteristic [ rdfs:label "f1" ; prov:value ?f1 ] .'
        " OPTIONAL { ?m sprov:best ?best } } ORDER BY ?step"
    )
    assert [row["step"] for row in rows] == [row["epoch"] for row in rows] == list("0123")
    assert [row.get("best") for row in rows] == [None, None, "true", None]
    assert [float(row["score"]) for row in rows] == pytest.approx([0.5, 0.6, 0.7, 0.8])
    assert {row["f1"] for row in rows} == {"0.25"}


def test_data_is_in_the_graph(captured: Site):
    rows = captured.select(
        'SELECT ?path ?n { ?d a provml:LearningDataSetReference ; rdfs:label "digits" ;'
        ' sprov:version "1" ; sprov:split "train" ; prov:hadMember/sprov:path ?path ;'
        ' provml:hasCharacteristic [ rdfs:label "n" ; prov:value ?n ] ;'
        " prov:wasGeneratedBy ?made . ?training a provml:TrainingExecution ; prov:used ?d }"
        " ORDER BY ?path"
    )
    raw = captured.folder / "raw"
    assert [row["path"] for row in rows] == [str(raw / "0.csv"), str(raw / "1.csv")]
    features = captured.select(
        "SELECT ?name { ?d a provml:FeatureSetData ; provml:ofFeatureSet/provml:hasFeature ?f ."
        " ?f rdfs:label ?name } ORDER BY ?name"
    )
    assert [row["name"] for row in features] == ["p0", "p1"]
    assert captured.count(
        '?r a provml:DataReference ; sprov:path "4242" ; provml:isStoredIn/rdfs:label "db:runs"'
    )
    (directory,) = captured.select(
        "SELECT ?size ?version { ?d a sprov:Directory ; sprov:size ?size ; sprov:version ?version }"
    )
    assert directory["size"] == "6000"


def test_trials_settings_and_plans_are_in_the_graph(captured: Site):
    trials = captured.select(
        "SELECT DISTINCT ?name ?lr { ?t a sprov:TrialExecution ; rdfs:label ?name ; prov:used ?v ."
        ' ?v prov:value ?lr ; provml:ofAttribute/rdfs:label "lr" } ORDER BY ?name'
    )
    assert trials == [{"name": "a", "lr": "0.5"}, {"name": "b", "lr": "0.25"}]
    assert captured.count("?v a provml:ModelHyperparameterValue ; prov:value 2") == 1
    assert captured.count(
        "?r a provml:WorkflowExecution ; prov:used ?v . ?v provml:ofAttribute/rdfs:label"
        ' "optimizer.lr" ; prov:value 0.1e0'
    )
    (plan,) = captured.select(
        'SELECT ?task ?algorithm ?type { ?p a provml:Training ; rdfs:label "fit" ;'
        " sprov:declared true ; provml:hasTask/rdfs:label ?task ;"
        " provml:realizesAlgorithm/rdfs:label ?algorithm ."
        ' ?lr provml:isPartOf ?p ; rdfs:label "lr" ; sprov:required true ;'
        " sprov:declaredType ?type }"
    )
    assert plan == {"task": "classification", "algorithm": "SGD", "type": "double"}


def test_the_graph_agrees_with_the_logs(captured: Site):
    assert captured.verify()


def test_a_run_that_resumes_says_so_in_the_graph(captured: Site):
    (run,) = captured.select("SELECT ?r { ?r a provml:LearningExperimentExecution }")
    site = Site(captured.folder / "again")
    site.folder.mkdir(exist_ok=True)
    site.project = captured.project
    site.run("api.py", RESUME=run["r"])
    site.sprov("ingest")
    assert captured.count(f"?a sprov:resumedFrom <{run['r']}>") == 1


def test_what_is_declared_by_the_command_is_in_the_graph_and_no_run(site: Site):
    plan = site.folder / "plan.yaml"
    plan.write_text(
        "study: digits\nexperiment: mlp\nstages:\n"
        "- {kind: training, name: fit, hyperparameters: {lr: {type: double, required: true}}}\n"
        "- {kind: trainin}\n"
    )
    told = site.sprov("declare", str(plan), "--check", status=2)
    assert "plan.yaml:5: stages[1].kind: no class of stage 'trainin'" in told
    assert not list(site.project.spool.iterdir())
    site.sprov("declare", str(plan), status=2)
    plan.write_text(plan.read_text().replace("trainin}", "validation}"))
    assert "`sprov ingest` takes them in" in site.sprov("declare", str(plan))
    site.sprov("ingest")
    assert not list(site.project.spool.iterdir())
    assert site.count("?r a provml:LearningExperimentExecution") == 0
    assert site.count("?a a prov:Activity") == 0
    (found,) = site.select(
        "SELECT ?experiment ?study ?type { ?w a provml:Workflow ; provml:isPartOf ?e ."
        " ?e rdfs:label ?experiment ; provml:isPartOf/rdfs:label ?study ."
        " ?s a provml:Training ; provml:isPartOf ?w . ?lr provml:isPartOf ?s ;"
        ' rdfs:label "lr" ; sprov:declaredType ?type ; sprov:declared true }'
    )
    assert found == {"experiment": "mlp", "study": "digits", "type": "double"}
    assert site.count('?v a provml:Validation ; rdfs:label "validation"') == 1


def test_plans_of_no_workflow_can_not_be_declared_by_the_command(site: Site):
    (site.folder / "plan.json").write_text('{"stages": [{"kind": "training"}]}')
    assert "name the workflow" in site.sprov("declare", "plan.json", status=2)


def test_import_stays_cheap():
    program = (
        "import sys, pllib; print(*sorted({'hashlib', 'socket', 'pathlib', 'dataclasses', 'yaml',"
        " 'pllib.facts', 'pllib.learning', 'pllib.planning'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_open_imports_no_openssl(site: Site):
    program = (
        "import sys, pllib; pllib.open(mode='offline').close();"
        " print(*{'_hashlib', 'ssl'} & set(sys.modules), 'pllib.software' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=site.folder, env=site.environment(SPROV_SOFTWARE="loaded"),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "True"
