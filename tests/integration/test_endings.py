"""How blocks and sessions ended, and which session a call is of: read back from the log."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import TIMEOUT_S

import pllib
from pllib.log import LogReader
from pllib.records import AnyRecord, Ended, Metric, Started

SESSION = ""
"""Its path."""


@pytest.fixture
def spool(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SPROV_DIR", str(tmp_path / ".sprov"))
    monkeypatch.setenv("SPROV_MODE", "offline")
    return tmp_path / ".sprov" / "spool"


def logs(spool: Path) -> Iterator[list[AnyRecord]]:
    """Yield the records of each log."""
    for path in sorted(spool.glob("*.log")):
        with LogReader(path) as reader:
            yield [r for located in reader.frames() for r in located.frame.records()]


def errors(spool: Path) -> dict[str, str | None]:
    """Return path to error of all that ended in the only log; several ends must be one moment."""
    (records,) = logs(spool)
    paths = {r.activity: r.path for r in records if isinstance(r, Started)}
    found: dict[str, str | None] = {}
    moments: dict[str, set[int]] = {}
    for record in records:
        if isinstance(record, Ended):
            path = paths[record.activity]
            found[path] = record.error or found.get(path)
            moments.setdefault(path, set()).add(record.ended_ns)
    assert {len(ends) for ends in moments.values()} == {1}
    return found


def run(program: str, *options: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(program)],
        env=dict(os.environ), capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (0, None),
        (None, None),
        (False, None),
        (3, "SystemExit: 3"),
        ("no data", "SystemExit: no data"),
    ],
)
def test_an_exit_with_0_in_a_block_is_a_success_and_others_are_not(spool, code, error):
    with (
        pytest.raises(SystemExit),
        pllib.open() as session,
        session.stage("training", "fit") as fit,
        fit.section("epoch", 0),
    ):
        sys.exit(code)
    assert set(errors(spool).values()) == {error}


HOOK = "import sys\nsys.excepthook = lambda *_: print('theirs', file=sys.stderr)\n"


@pytest.mark.parametrize("before", ["", HOOK], ids=["plain", "excepthook"])
def test_an_uncaught_exception_is_the_end_of_a_script_without_with(spool, before):
    done = run(before + "import pllib\npllib.open().stage('training').__enter__()\n1 / 0")
    assert done.returncode == 1
    assert ("theirs" if before else "ZeroDivisionError") in done.stderr
    expected = "ZeroDivisionError: division by zero"
    assert errors(spool) == {SESSION: expected, "training:training::0": expected}


def test_an_exception_before_the_session_and_one_that_was_caught_end_nothing(spool):
    run(
        """
        import sys, traceback
        def fail():
            try:
                1 / 0
            except ZeroDivisionError as error:
                sys.last_value = sys.last_exc = error  # as traceback and debuggers do
        fail()
        import pllib
        pllib.open()
        try:
            [][0]
        except IndexError:
            pass
        """
    )
    assert errors(spool) == {SESSION: None}


@pytest.mark.parametrize(("code", "known"), [("pass", False), ("import sys; sys.exit(4)", False)])
def test_with_which_status_a_process_ends_its_open_session_does_not_know(spool, code, known):
    run(f"import pllib\nsession = pllib.open()\n{code}")
    (records,) = logs(spool)
    assert [r.with_process for r in records if isinstance(r, Ended)] == [not known]


def test_a_session_that_was_closed_ended_before_its_process(spool):
    run("import pllib\npllib.open().close()\nwith pllib.open(): pass\n1 / 0")
    ends = [r for records in logs(spool) for r in records if isinstance(r, Ended)]
    assert [(r.error, r.with_process) for r in ends] == [(None, False)] * 2


WORKER = """
import multiprocessing, sys
import pllib
def work():
    pllib.open()
    {body}
if __name__ == "__main__":
    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    worker.join()
"""


@pytest.mark.parametrize(
    ("body", "error"),
    [("1 / 0", "ZeroDivisionError: division by zero"), ("sys.exit(2)", "SystemExit: 2"),
     ("sys.exit(0)", None), ("pass", None)],
)  # fmt: skip
def test_a_worker_of_multiprocessing_ends_by_what_it_raises(spool, body, error):
    """From Python 3.13 on a worker's exit functions run when its exception is gone.  Then there is
    the status that it ends with, by the frame that ran it.
    """
    assert run(WORKER.format(body=body)).returncode == 0
    (records,) = logs(spool)
    said = [(r.error, r.with_process) for r in records if isinstance(r, Ended)]
    if sys.version_info >= (3, 13) and error is not None:
        error = f"WorkerError: exit status {2 if 'exit' in body else 1}"
    assert said == [(error, False)]


def plain(stage: Any) -> None:
    for epoch in stage.sections("epoch", 3):
        for _ in epoch.sections("batch", 2):
            raise ValueError("no")


def kept(stage: Any) -> None:
    epochs = stage.sections("epoch", 3)
    for epoch in epochs:
        batches = epoch.sections("batch", 2)
        for _ in batches:
            raise ValueError("no")


def wrapped(stage: Any) -> None:
    """As by tqdm."""

    def progress(items: Any) -> Any:
        yield from items

    for _, epoch in enumerate(progress(stage.sections("epoch", 3))):
        for _ in progress(epoch.sections("batch", 2)):
            raise ValueError("no")


def with_cleanup(stage: Any) -> None:
    for epoch in stage.sections("epoch", 3):
        try:
            for _ in epoch.sections("batch", 2):
                try:
                    raise ValueError("no")
                except ValueError:
                    raise
        finally:
            stage.metric("loss", 1.0)


def chained(stage: Any) -> None:
    try:
        plain(stage)
    except ValueError as exc:
        raise RuntimeError("training failed") from exc


@pytest.mark.parametrize("loop", [plain, kept, wrapped, with_cleanup, chained])
def test_an_exception_in_a_loop_over_sections_marks_them(spool, loop):
    with (
        pytest.raises((ValueError, RuntimeError)) as caught,
        pllib.open() as session,
        session.stage("training", "fit") as fit,
    ):
        loop(fit)
    found = errors(spool)
    fit_error = f"{caught.type.__name__}: {caught.value}"
    assert found.pop(SESSION) == found.pop("training:fit::0") == fit_error
    fit_path = "training:fit::0/epoch:epoch:0:0"
    assert set(found) == {fit_path, f"{fit_path}/batch:batch:0:0"}
    assert set(found.values()) <= {"ValueError: no", fit_error}
    assert None not in found.values()


def broken_off(stage: Any) -> None:
    for _ in stage.sections("epoch", 3):
        break
    raise ValueError("later")


def returned(stage: Any) -> None:
    def search() -> None:
        for _ in stage.sections("epoch", 3):
            return

    search()
    raise ValueError("later")


def caught_inside(stage: Any) -> None:
    for _ in stage.sections("epoch", 1):
        try:
            raise KeyError
        except KeyError:
            pass
    raise ValueError("later")


@pytest.mark.parametrize("loop", [broken_off, returned, caught_inside])
def test_a_section_that_was_left_in_order_is_not_marked_by_what_comes_later(spool, loop):
    with (
        pytest.raises(ValueError, match="later"),
        pllib.open() as session,
        session.stage("training", "fit") as fit,
    ):
        loop(fit)
    found = errors(spool)
    assert found.pop("training:fit::0/epoch:epoch:0:0") is None
    assert set(found.values()) == {"ValueError: later"}


def fold(session: pllib.Session) -> Iterator[pllib.Stage]:
    with session.stage("training", "fit") as fit:
        for epoch in fit.sections("epoch", 2):  # noqa: UP028  this frame is of interest
            yield epoch


def test_an_exception_that_was_caught_marks_nothing_once_the_program_goes_on(spool):
    n_times = 5
    with pllib.open() as session:
        for _ in range(n_times):
            with contextlib.suppress(KeyError):
                for _ in fold(session):
                    raise KeyError
            generator = fold(session)  # whose frame may be where that of the first one was
            next(generator)
            del generator
            generator = fold(session)
            next(generator)
            with pytest.raises(RuntimeError):
                generator.throw(RuntimeError("later"))
    found = errors(spool)
    for nth in range(3 * n_times):
        error = "RuntimeError: later" if nth % 3 == 2 else None
        path = f"training:fit::{nth}"
        assert (found[path], found[f"{path}/epoch:epoch:0:0"]) == (error, error)


def test_an_exception_goes_on_past_what_is_recorded_while_it_is_handled(spool):
    with (
        pytest.raises(ValueError, match="no"),
        pllib.open() as session,
        session.stage("training", "fit") as fit,
    ):
        try:
            for _ in fit.sections("epoch", 2):
                raise ValueError("no")
        finally:
            with session.stage("evaluation", "last"):
                pass
    found = errors(spool)
    assert found["training:fit::0/epoch:epoch:0:0"] == "ValueError: no"
    assert found["training:fit::0/evaluation:last::0"] is None


def test_stages_in_transformations_have_paths_of_their_own(spool):
    with pllib.open() as session, session.stage("evaluation", "cross") as cross:
        for fold in range(3):
            with (
                cross.transformation("fold", used={"fold": fold}) as outer,
                outer.transformation("inner") as inner,
                inner.stage("training", "fit") as fit,
                fit.section("epoch", 0),
            ):
                pass
    (records,) = logs(spool)
    fits = [f"evaluation:cross::0/training:fit::{nth}" for nth in range(3)]
    paths = [r.path for r in records if isinstance(r, Started)]
    assert paths[2:] == [path for fit in fits for path in (fit, f"{fit}/epoch:epoch:0:0")]


def points(spool: Path) -> list[list[float]]:
    return sorted([r.value for r in log if isinstance(r, Metric)] for log in logs(spool))


def test_two_open_sessions_live_side_by_side(spool):
    student, teacher = pllib.open(name="student"), pllib.open(name="teacher")
    for n in range(3):
        student.metric("loss", n)
        teacher.metric("loss", 10 + n)
    assert pllib.current() is teacher
    student.close()
    assert pllib.current() is teacher
    teacher.close()
    assert pllib.current() is pllib.off.OFF
    assert points(spool) == [[0, 1, 2], [10, 11, 12]]
    assert not student.lost and not teacher.lost


def test_a_library_that_opens_one_in_a_thread_ends_no_other(spool):
    mine = pllib.open(name="mine")
    theirs: list[Any] = []
    thread = threading.Thread(target=lambda: theirs.append(pllib.open(name="theirs")))
    thread.start()
    thread.join()
    mine.metric("loss", 1.0)
    theirs[0].metric("loss", 2.0)
    assert pllib.current() is mine
    theirs[0].close()
    mine.close()
    assert points(spool) == [[1], [2]]


def test_sessions_that_threads_open_at_once_are_runs_each(spool):
    n_threads = 8
    barrier = threading.Barrier(n_threads)
    runs: list[str] = []

    def train() -> None:
        barrier.wait(TIMEOUT_S)
        with pllib.open() as session:
            runs.append(session.run)
            session.metric("loss", 1.0)
            barrier.wait(TIMEOUT_S)

    threads = [threading.Thread(target=train) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert points(spool) == [[1.0]] * n_threads
    assert len(set(runs)) == n_threads


def test_in_a_thread_the_session_opened_last_is_current(spool):
    found: list[Any] = []

    def look() -> None:
        thread = threading.Thread(target=lambda: found.append(pllib.current()))
        thread.start()
        thread.join()

    with pllib.open() as first:
        sessions = [pllib.open() for _ in range(5)]
        look()
        for session in reversed(sessions):
            session.close()
            look()
    look()
    assert found == [*reversed(sessions), first, pllib.off.OFF]


def test_a_session_that_another_thread_closed_is_not_current(spool):
    session = pllib.open()
    with session.stage("training"):
        thread = threading.Thread(target=session.close)
        thread.start()
        thread.join()
        assert pllib.current() is pllib.off.OFF


TYPED = """
import pllib
first = pllib.open(name="first")
first.metric("loss", 1.0)
1 / 0
second = pllib.open(name="second")
import json, sys
print(json.dumps([first.is_closed, second.is_closed, pllib.current() is second]))
second.metric("loss", 2.0)
"""


def test_at_a_prompt_a_second_open_ends_the_first_and_says_so(spool):
    done = subprocess.run(
        [sys.executable, "-i", "-q"], input=TYPED, env=dict(os.environ), capture_output=True,
        text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout) == [True, False, True]
    assert "is closed, since another session is opened here" in done.stderr
    ends = [r for records in logs(spool) for r in records if isinstance(r, Ended)]
    assert [r.error for r in ends] == [None, None]  # what a line raised ended nothing
    assert points(spool) == [[1], [2]]
