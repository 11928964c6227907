"""What a program captures is in its log, whatever the program does: read back from the file."""

from __future__ import annotations

import asyncio
import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from harness import TIMEOUT_S

import pllib
from pllib.log import LogReader
from pllib.records import (
    AnyRecord,
    Closed,
    Context,
    Ended,
    Generated,
    Metric,
    Signature,
    Started,
    Transformation,
    decode_values,
)


def records(spool: Path) -> list[AnyRecord]:
    """Return all records of all logs but contexts and signatures, checking each log's own count."""
    found: list[AnyRecord] = []
    for path in sorted(spool.glob("*.log")):
        with LogReader(path) as reader:
            mine = [r for located in reader.frames() for r in located.frame.records()]
            assert (reader.corrupt, reader.torn) == ([], 0)
        said = [r for r in mine if not isinstance(r, Context | Signature)]
        closed = [r for r in said if isinstance(r, Closed)]
        assert [c.n_records for c in closed] in ([], [len(said)])
        found.extend(said)
    assert not list(spool.glob("*.spool"))
    return found


def steps(spool: Path) -> list[Transformation]:
    return [r for r in records(spool) if isinstance(r, Transformation)]


def run(program: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_a_block_that_raises_is_recorded_and_raises(spool):
    class UnprintableError(Exception):
        def __str__(self):
            raise RuntimeError

    with pllib.open() as session:
        for error in (ValueError("bad\udcff batch"), UnprintableError(), KeyboardInterrupt()):
            with pytest.raises(type(error)), session.transformation("step", used={"n": 1}) as step:
                step.generated(a=1)
                raise error
        with (
            pytest.raises(ValueError, match="in the epoch"),
            session.stage("training") as training,
            training.section("epoch", 0),
        ):
            raise ValueError("in the epoch")
    found = records(spool)
    errors = [r.error for r in found if isinstance(r, Transformation)]
    assert errors == ["ValueError: bad\\udcff batch", "UnprintableError", "KeyboardInterrupt: "]
    ended = [r.error for r in found if isinstance(r, Ended)]
    assert ended == ["ValueError: in the epoch"] * 2 + [None]
    assert all(decode_values(r.generated) == [1] for r in found if isinstance(r, Transformation))


def test_a_run_that_raises_is_recorded_as_failed(spool):
    with pytest.raises(ZeroDivisionError), pllib.open():
        raise ZeroDivisionError("by zero")
    (ended,) = [r for r in records(spool) if isinstance(r, Ended)]
    assert ended.error == "ZeroDivisionError: by zero"


def test_used_is_what_it_was_on_entry(spool):
    settings = {"lr": 1, "layers": [64]}
    with pllib.open() as session, session.transformation("fit", used=settings):
        settings["lr"] = 2
        settings["layers"].append(10)
    (step,) = steps(spool)
    assert decode_values(step.used) == [1, [64]]


def test_names_may_change_from_call_to_call(spool):
    calls = [{"a": 1}, {"a": 1, "b": 2}, {"b": 3}, {}, {"b": 4, "a": 5}, {"x y/z": 6}, {"a": 7}]
    with pllib.open() as session:
        for values in calls:
            with session.transformation("step", used=values) as step:
                step.generated(values)
    found = []
    for path in spool.glob("*.log"):
        with LogReader(path) as reader:
            names: dict[int, Signature] = {}
            for record in (r for located in reader.frames() for r in located.frame.records()):
                if isinstance(record, Signature):
                    names[record.id] = record
                if isinstance(record, Transformation):
                    shape = names[record.signature]
                    used = dict(zip(shape.used, decode_values(record.used), strict=True))
                    made = dict(zip(shape.generated, decode_values(record.generated), strict=True))
                    assert used == made
                    found.append(used)
    assert found == calls


@pytest.mark.parametrize(
    "misuse",
    [
        lambda s: s.transformation("step", used=[1, 2]).__enter__().__exit__(None, None, None),
        lambda s: s.transformation(["no name"]).__enter__().__exit__(None, None, None),
        lambda s: s.transformation("t").__enter__().generated(5),
        lambda s: s.used(7),
        lambda s: s.generated({1: 2, None: 3}),
        lambda s: s.metric("loss", "not a number"),
        lambda s: s.metric("loss", 1.0, step="first"),
        lambda s: s.stage("no such kind").__enter__(),
        lambda s: s.section("epoch", "one").__enter__(),
        lambda s: s.metrics(None),
        lambda s: s.stage("training", hyperparameters=7, used=[1]).__enter__(),
        lambda s: s.transformation("t", only_rank="one").__enter__().__exit__(None, None, None),
    ],
)
def test_wrong_calls_never_raise_and_the_rest_is_kept(spool, misuse, capsys):
    with pllib.open() as session:
        misuse(session)
        with session.transformation("good", used={"a": 1}) as good:
            good.generated(b=2)
    assert sum(r.signature >= 0 and decode_values(r.used) == [1] for r in steps(spool)) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_what_can_not_be_kept_is_counted(spool):
    with pllib.open() as session:
        session.metric("loss", "not a number")
    (closed,) = [r for r in records(spool) if isinstance(r, Closed)]
    assert sum(closed.lost.values()) == 1


def test_what_is_lost_in_thousands_of_words_is_counted_and_told(spool, capsys):
    with pllib.open(settings={"flush_bytes": 4096}) as session:
        for n in range(6000):
            session.metric("state", f"epoch {n} of run")
    (closed,) = [r for r in records(spool) if isinstance(r, Closed)]
    assert sum(closed.lost.values()) == 6000
    last = capsys.readouterr().err.splitlines()[-1]
    assert "6,000 records were not kept: ValueError in capture" in last


def test_an_error_without_words_is_recorded_and_raised(spool):
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text either")

    class Mute:
        def __float__(self) -> float:
            raise MuteError

    with pytest.raises(MuteError), pllib.open() as session, session.stage("training"):
        session.metric("loss", Mute())
        raise MuteError
    found = records(spool)
    assert [r.error for r in found if isinstance(r, Ended)] == ["MuteError"] * 2
    assert [sum(r.lost.values()) for r in found if isinstance(r, Closed)] == [1]


def test_at_the_spools_limit_records_are_dropped_and_counted(spool, monkeypatch):
    """The sender is held up by a folder in place of its file, so nothing is freed."""
    monkeypatch.setenv("SPROV_SPOOL_LIMIT_BYTES", str(600_000))
    monkeypatch.setenv("SPROV_FLUSH_BYTES", "4096")
    with pllib.open() as session:
        (spool / f"{session.log_id.hex()}.log").mkdir(parents=True)
        for n in range(20_000):
            with session.transformation("step", used={"n": n}) as step:
                step.generated(m=n)
        lost = session.lost["spool full"]
        kept = sum(writer.n_records for writer in session._writers)
        path = session.spool_path
    assert lost > 1_000
    assert kept + lost >= 20_000
    with LogReader(path) as reader:
        found = [r for f in reader.frames() for r in f.frame.records()]
    assert sum(isinstance(r, Transformation) for r in found) == 20_000 - lost
    (closed,) = [r for r in found if isinstance(r, Closed)]
    assert closed.lost == {"spool full": lost}


def test_a_program_may_choose_to_wait_at_the_spools_limit(spool):
    """The limit is a fraction of what is captured; the sender frees what it has handed on."""
    settings = {"spool_full": "block", "spool_limit_bytes": 40_000, "flush_bytes": 4096}
    with pllib.open(settings=settings) as session:
        for n in range(20_000):
            with session.transformation("step", used={"n": n}) as step:
                step.generated(m=n)
        assert not session.lost
    assert [decode_values(step.used) for step in steps(spool)] == [[n] for n in range(20_000)]


def test_threads_each_capture_whole_records(spool):
    def work(session: pllib.Session, number: int) -> None:
        for n in range(3000):
            with session.transformation(f"step{number}", used={"n": n}) as step:
                step.generated(n=n)

    with pllib.open(settings={"flush_bytes": 4096, "flush_age_s": 0.001}) as session:
        threads = [threading.Thread(target=work, args=(session, n)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = steps(spool)
    assert len({step.seq for step in found}) == len(found) == 6 * 3000


def test_a_new_thread_captures_in_the_open_session(spool):
    with pllib.open():
        thread = threading.Thread(target=lambda: pllib.current().used(n=1))
        thread.start()
        thread.join()
    assert any(type(record).__name__ == "Used" for record in records(spool))


def test_tasks_nest_each_in_their_own_block(spool):
    async def work(session: pllib.Session, number: int) -> None:
        with session.stage("validation", f"v{number}"):
            await asyncio.sleep(0)
            with pllib.current().transformation("inner", used={"n": number}):
                await asyncio.sleep(0)

    async def main(session: pllib.Session) -> None:
        await asyncio.gather(*(work(session, n) for n in range(5)))

    with pllib.open() as session:
        asyncio.run(main(session))
    found = records(spool)
    stage_of = {r.activity: r.path for r in found if isinstance(r, Started)}
    inner = [r for r in found if isinstance(r, Transformation)]
    assert [stage_of[r.parent] for r in inner] == [
        f"validation:v{decode_values(r.used)[0]}::0" for r in inner
    ]


def test_a_signal_handler_may_capture_in_the_middle_of_a_capture(spool):
    hits = Counter()
    with pllib.open() as session:

        def handle(*_):
            hits["n"] += 1
            with session.transformation("handler", used={"n": hits["n"]}):
                pass

        before = signal.signal(signal.SIGALRM, handle)
        try:
            n = handled = 0
            while hits["n"] < 300:
                if hits["n"] == handled:
                    handled += 1
                    signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + n % 97))
                with session.transformation("main", used={"n": n}) as step:
                    step.generated(n=n)
                n += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    found = steps(spool)
    assert len({step.seq for step in found}) == len(found) == n + hits["n"]


def test_what_a_signal_handler_raises_goes_on_out_of_our_code(spool):
    class TimeLimitError(Exception): ...

    raised = seen = 0
    armed = False

    def handle(*_):
        nonlocal raised
        if armed:
            raised += 1
            raise TimeLimitError

    before = signal.signal(signal.SIGALRM, handle)
    try:
        with pllib.open() as session:
            while raised < 200:
                armed = True
                try:
                    signal.setitimer(signal.ITIMER_REAL, 2e-5 * (1 + raised % 31))
                    while armed:
                        with session.transformation("step", used={"n": 1}) as step:
                            step.generated(m=2)
                except TimeLimitError:
                    seen += 1
                finally:
                    armed = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen == raised
    assert len(session._writers) < 5
    assert steps(spool)


class Meddling:
    """A step that captures, or fails, when its point is half written, as a signal handler may."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        self.meddle = meddle

    def __index__(self) -> int:
        self.meddle()
        return 7


def test_a_bad_point_within_a_point_leaves_that_whole(spool):
    with pllib.open() as session:
        session.metric("loss", 1.0, step=1)
        chunk = session.local.writer.chunk
        session.metric("loss", 2.0, step=Meddling(lambda: session.metric("loss", "bad")))
        assert session.local.writer.chunk is chunk
        assert sum(session.lost.values()) == 1
    assert [r.value for r in records(spool) if isinstance(r, Metric)] == [1.0, 2.0]


def test_a_point_that_fails_half_written_leaves_nothing_behind(spool):
    with pllib.open(settings={"flush_age_s": 3600}) as session:
        session.metric("loss", 1.0, step=1)
        chunk = session.local.writer.chunk
        session.metric("loss", 2.0, step=Meddling(lambda: int("seven")))
        session._spool.measure(chunk)
        rest = chunk.map[chunk.end : chunk.base + session._spool.stride]
        assert not rest.strip(b"\0")


def test_a_record_that_no_chunk_holds_is_counted_and_not_waited_for(spool):
    with pllib.open(settings={"spool_full": "block", "flush_bytes": 4096}) as session:
        session.generated({f"name{n}": n for n in range(1000)})
        session.used(n=1)
        assert [*session.lost.values()] == [1]
    assert any(type(record).__name__ == "Used" for record in records(spool))


def test_a_handle_is_to_the_execution_that_made_it_though_entered_again(spool):
    with pllib.open() as session:
        stage = session.stage("training")
        with stage:
            handles, first = stage.generated(x=1), stage.seq
        with stage:
            assert stage.seq != first
        assert handles["x"].record.activity == first


@dataclasses.dataclass(frozen=True)
class Key:
    number: int


@pytest.mark.parametrize("value", [{Key(1): 1}, msgspec.msgpack.Ext(1, b"\xc1")])
def test_a_value_that_can_not_be_read_back_has_a_handle(spool, value):
    with pllib.open() as session:
        assert session.generated(x=value)["x"].record.name == "x"


def test_a_loop_over_sections_may_be_left(spool):
    with pllib.open() as session, session.stage("training", "fit") as training:
        for epoch in training.sections("epoch", 5):
            if epoch.index == 1:
                break
        for _ in training.sections("epoch", 2):
            pass
        assert pllib.current() is training
    found = records(spool)
    assert [r.error for r in found if isinstance(r, Ended)] == [None] * 6
    paths = [r.path for r in found if isinstance(r, Started) and r.index is not None]
    assert len(set(paths)) == len(paths) == 4


def _child(inherited: pllib.Session) -> None:
    with inherited.transformation("stray", used={"n": 1}) as stray:
        stray.generated(m=1)
    pllib.current().used(n=2)
    with pllib.open(run="child") as session:
        session.generated(mine=3)


def test_a_forked_child_captures_only_what_it_opens(spool):
    with pllib.open() as session:
        session.used(parent=1)
        child = multiprocessing.get_context("fork").Process(target=_child, args=(session,))
        child.start()
        child.join(TIMEOUT_S)
        assert child.exitcode == 0
        session.used(parent=2)
    found = records(spool)
    assert not [r for r in found if isinstance(r, Transformation)]
    assert sum(isinstance(r, Generated) for r in found) == 1
    assert sum(isinstance(r, Closed) for r in found) == 2


def test_a_long_transformation_is_announced_before_its_end(spool):
    announced = threading.Event()
    with pllib.open(settings={"flush_age_s": 0.01}) as session:
        write = session.write

        def watch(names, make):
            write(names, make)
            announced.set()

        session.write = watch
        with session.transformation("long"):
            assert announced.wait(TIMEOUT_S)
    found = records(spool)
    starts = [r.activity for r in found if isinstance(r, Started)]
    ends = [r.seq for r in found if isinstance(r, Transformation)]
    assert len(ends) == 1
    assert set(ends) <= set(starts)


def test_a_handle_links_what_was_generated_to_where_it_is_used(spool):
    with pllib.open() as session:
        with session.transformation("make") as make:
            handles = make.generated(a=1, b=2)
            more = make.generated(a=3)
        with session.transformation("use", used={"x": handles["b"], "y": more["a"]}):
            pass
        with pytest.raises(KeyError):
            handles["c"]
    *_, use = steps(spool)
    x, y = decode_values(use.used)
    assert (x.name, x.transformation, x.activity, x.ordinal) == ("b", "make", make.seq, make.seq)
    assert y.ordinal != x.ordinal


def test_captured_records_arguments_and_results(spool):
    @pllib.captured
    def scale(x, factor=2.0):
        return {"scaled": x * factor}

    assert scale(1) == {"scaled": 2.0}
    with pllib.open():
        assert scale(3, factor=4.0) == {"scaled": 12.0}
        with pytest.raises(TypeError):
            scale()
    done, failed = steps(spool)
    assert (decode_values(done.used), decode_values(done.generated)) == ([3, 4.0], [12.0])
    assert failed.error.startswith("TypeError")


def test_a_program_that_never_closes_is_closed_at_its_end(spool):
    done = run("import pllib; s = pllib.open(); s.used(a=1)")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert sum(isinstance(r, Closed) for r in records(spool)) == 1


def test_off_does_nothing_and_leaves_nothing(tmp_path):
    program = """
        import pllib
        with pllib.open(mode="off") as s:
            with s.stage("training", "fit", hyperparameters={"a": 1}) as t:
                for e in t.sections("epoch", 2):
                    e.metric("loss", 1.0)
                    e.generated(a=1)
            with s.transformation("x", used={"n": 1}) as x:
                x.generated(y=2)
        assert pllib.current().status == "off"
        """
    done = run(program, SPROV_DIR=str(tmp_path / "nothing"), SPROV_MODE="off")
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "nothing").exists()


def test_import_reads_opens_and_starts_nothing():
    program = """
        import sys, threading, msgspec, zmq
        opened = []
        sys.addaudithook(lambda name, args: opened.append(args[0]) if name == "open" else None)
        before = set(sys.modules)
        import pllib
        foreign = {m.partition(".")[0] for m in set(sys.modules) - before} - set(
            sys.stdlib_module_names)
        assert foreign == {"pllib"}, foreign
        assert threading.active_count() == 1
        stray = [p for p in opened if not str(p).endswith((".py", ".pyc"))]
        assert not stray, stray
        """
    done = run(program)
    assert done.returncode == 0, done.stderr
