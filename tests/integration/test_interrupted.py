"""What the program raises into the middle of a capture goes on, by whatever means it does so."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import importlib.util
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pllib
from pllib.foreign import is_theirs

TRIES = 400
"""Of each way to raise: 3,200 in all."""


class LimitError(Exception):
    """As of most libraries for time limits."""


class WordyError(AssertionError):
    """As of timeout_decorator, an AssertionError; it makes its own message."""

    def __init__(self) -> None:
        super().__init__("out of time")


class Slow:
    """A value whose own methods take long, and fail."""

    def __str__(self) -> str:
        sum(range(2000))
        raise RuntimeError("no text")

    __repr__ = __float__ = __len__ = __str__  # type: ignore[assignment]


class Armed:
    """Raises, once armed, when its signal comes."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error
        self.raised = 0
        self.is_armed = False
        self.before: Any = signal.SIG_DFL

    def strike(self) -> None:
        if self.is_armed:
            self.is_armed = False
            self.raised += 1
            raise self.error

    def restoring(self, number: int, frame: Any) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        self.strike()

    def without_frame(self, number: int, frame: Any) -> None:
        del number, frame
        self.strike()

    def after(self, prefix: str, *rest: Any) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        self.strike()

    def __call__(self, number: int, frame: Any) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        self.strike()


HANDLERS: dict[str, Callable[[Armed], Any]] = {
    "restores": lambda armed: armed.restoring,
    "drops-its-frame": lambda armed: armed.without_frame,
    "partial": lambda armed: functools.partial(armed.after, "prefix"),
    "callable": lambda armed: armed,
    "function": lambda armed: lambda number, frame: armed.strike(),
}


def everything(session: pllib.Session, folder: Path) -> None:
    """Capture in each way once."""
    with session.stage("training", "fit", hyperparameters={"lr": 0.1, "odd": Slow()}) as training:
        for epoch in training.sections("epoch", 2):
            epoch.metric("loss", 0.5)
            epoch.metric("loss", Slow(), unit="J")
            with epoch.transformation("step", used={"n": 1, "odd": Slow()}) as step:
                step.generated(m=2)
            with epoch.transformation("step", used={"other": 1}) as step:
                step.generated(file=pllib.File(folder / "none"), m=Slow())
        training.used(file=pllib.File(folder), odd=Slow())
        training.hyperparameter("lr", 0.2)
        training.checkpoint(folder)


def open_files() -> Iterator[str]:
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            yield str(descriptor.readlink())


@pytest.fixture(autouse=True)
def no_callbacks() -> Iterator[None]:
    """Leave callbacks of the garbage collector out: Python swallows what strikes in one.

    Hypothesis, which other tests use, has one.
    """
    callbacks = [*gc.callbacks]
    gc.callbacks.clear()
    yield
    gc.callbacks.extend(callbacks)


@pytest.fixture
def session(tmp_path, monkeypatch) -> Iterator[pllib.Session]:
    monkeypatch.setenv("SPROV_DIR", str(tmp_path / ".sprov"))
    monkeypatch.setenv("SPROV_MODE", "offline")
    before = signal.getsignal(signal.SIGALRM)
    with pllib.open(settings={"spool_limit_bytes": 1 << 30}) as opened:
        yield opened
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("error", [LimitError, TimeoutError, WordyError])
@pytest.mark.parametrize("kind", HANDLERS)
def test_what_a_handler_raises_is_never_swallowed(session, tmp_path, kind, error):
    armed = Armed(error)
    handler, seen = HANDLERS[kind](armed), 0
    for nth in range(TRIES // 3):
        try:
            signal.signal(signal.SIGALRM, handler)
            armed.is_armed = True
            signal.setitimer(signal.ITIMER_REAL, 2e-5 * (1 + nth * 7 % 131))
            while armed.is_armed:
                everything(session, tmp_path)
        except error:
            seen += 1
        finally:
            armed.is_armed = False
    assert seen == armed.raised == TRIES // 3
    assert {name for name in open_files() if re.fullmatch(r"/proc/\d+/(io|statm)", name)} == set()
    everything(session, tmp_path)
    assert session.lost.pop("spool full", 0) == 0


class Injector:
    """Raises in the main thread from another one, as time limits and notebooks do."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error
        self.ready, self.seen = threading.Semaphore(0), threading.Semaphore(0)
        self.n_swallowed = 0
        self.target = threading.get_ident()
        self.thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        for _ in range(TRIES // 2):
            self.ready.acquire()
            raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
            raise_in(ctypes.c_ulong(self.target), ctypes.py_object(self.error))
            while not self.seen.acquire(timeout=5):
                self.n_swallowed += 1
                raise_in(ctypes.c_ulong(self.target), ctypes.py_object(self.error))


@pytest.mark.parametrize("error", [LimitError, TimeoutError, WordyError])
def test_what_another_thread_raises_is_never_swallowed(session, tmp_path, error):
    injector = Injector(error)
    injector.thread.start()
    for _ in range(TRIES // 2):
        try:
            injector.ready.release()
            while True:
                everything(session, tmp_path)
        except error:
            injector.seen.release()
    injector.thread.join()
    assert injector.n_swallowed == 0


def test_what_values_raise_is_theirs_to_swallow():
    """Without a message too, by a class of their own too: it is their `raise`."""

    class OwnError(Exception):
        def __init__(self) -> None:
            super().__init__("own")

    for error in (RuntimeError, NotImplementedError, OwnError, LimitError("why"), KeyError("k")):

        def fail(error: Any = error) -> None:
            raise error

        with pytest.raises(BaseException) as caught:
            fail()
        assert not is_theirs(caught.value)
    for call in (lambda: {}["a"], lambda: float("x"), Path("/none").stat, lambda: len(5)):
        with pytest.raises(Exception) as caught:
            call()
        assert not is_theirs(caught.value)


@pytest.mark.parametrize("kind", [k for k in HANDLERS if k not in ("drops-its-frame",)])
def test_the_hook_of_sprov_run_tells_them_too(kind, tmp_path):
    """It stands alone, in Pythons that lack pllib."""
    path = Path(pllib.__file__).with_name("hook") / "sprov_opened.py"
    loaded = importlib.util.spec_from_file_location("opened_hook", path)
    assert loaded is not None
    assert loaded.loader is not None
    hook = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(hook)
    armed = Armed(TimeoutError)
    before = signal.signal(signal.SIGALRM, HANDLERS[kind](armed))
    armed.is_armed = True
    try:
        with pytest.raises(TimeoutError) as caught:
            signal.setitimer(signal.ITIMER_REAL, 1e-3)
            while True:
                sum(range(100))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert hook._is_theirs(caught.value)
    for call in (lambda: {}["a"], lambda: int("x"), lambda: len(5)):
        with pytest.raises(Exception) as caught:
            call()
        assert not hook._is_theirs(caught.value)
