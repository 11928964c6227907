"""Tell the program's own exceptions, which may strike inside capture, from those of what it calls.

Between any two of our instructions Python may run a signal handler of the program, or raise what
another thread asked for (``PyThreadState_SetAsyncExc``: time limits, notebooks).  Both come out of
our code and must go on.  What a value's own methods raise while it is recorded must not.
"""

from __future__ import annotations

import contextlib
import os
from _signal import getsignal, valid_signals  # type: ignore[import-not-found]
from collections.abc import Iterator
from types import FrameType, FunctionType, TracebackType
from typing import Any

CO_VARARGS = 4
"""Of ``inspect``, which takes long to import."""
_HERE = os.path.dirname(__file__)  # noqa: PTH120


def is_theirs(exc: BaseException) -> bool:
    """Tell whether a signal handler raised this, or another thread did, not what was called."""
    trace = exc.__traceback__
    if trace is None:
        return False
    frames = [trace.tb_frame]
    while trace.tb_next is not None:
        trace = trace.tb_next
        frames.append(trace.tb_frame)
        if _has_frame(trace.tb_frame):
            return True
    return _is_asynchronous(exc, trace) or _is_handled(frames)


@contextlib.contextmanager
def suppressing(*kinds: type[Exception]) -> Iterator[None]:
    """Suppress exceptions of these kinds, but not the program's own."""
    try:
        yield
    except kinds as exc:
        if is_theirs(exc):
            raise


def _has_frame(call: FrameType) -> bool:
    """Tell whether a call was given a frame, as signal handlers and trace functions are.

    Handlers may be methods, partial or callable objects, and may have restored the handler before
    them by now.  The frame need not be in the traceback: that leaves out those of imports.
    """
    code = call.f_code
    n_named = code.co_argcount + code.co_kwonlyargcount
    names = code.co_varnames[: n_named + bool(code.co_flags & CO_VARARGS)]
    if not names:
        return False
    values = call.f_locals
    return any(_is_frame(values.get(name)) for name in names)


def _is_frame(value: object) -> bool:
    kind = type(value)
    if kind is tuple:
        return any(type(item) is FrameType for item in value)  # type: ignore[attr-defined]
    return kind is FrameType


def _is_asynchronous(exc: BaseException, trace: TracebackType) -> bool:
    """Tell whether another thread raised this: no instruction did, and its class made it alone.

    CPython gives it no arguments; what C code raises has a message.  Read in CPython 3.10 to 3.13,
    ``_PyEval_SetAsyncExc``.
    """
    if isinstance(exc, MemoryError | StopIteration):  # which C raises without a message
        return False
    if exc.args and not isinstance(type(exc).__init__, FunctionType):
        return False
    from opcode import opmap

    raised_by = trace.tb_frame.f_code.co_code[trace.tb_lasti]
    return raised_by not in (opmap["RAISE_VARARGS"], opmap["RERAISE"])


def _is_handled(frames: list[FrameType]) -> bool:
    """Tell whether a handler that is set now, and may have dropped its frame, is among frames.

    `_signal` has no enumerations to look up: `signal.getsignal` took 600 us for all signals.
    """
    codes = [f.f_code for f in frames if not f.f_code.co_filename.startswith(_HERE)]
    if not codes:
        return False
    handlers = {_code(getsignal(number)) for number in valid_signals()}
    return any(code in handlers for code in codes)


def _code(handler: Any) -> Any:
    handler = getattr(handler, "func", handler)  # of a partial
    handler = getattr(handler, "__func__", handler)
    found = getattr(handler, "__code__", None)
    if found is None and callable(handler):
        found = getattr(type(handler).__call__, "__code__", None)
    return found
