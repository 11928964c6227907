"""Tell exceptions that are the user's own from those that our code, or their values, raise.

Python runs a signal handler between any two of our instructions.  What it raises on purpose (a
time limit, say) must go on, though it comes out of our code; what a value's own methods raise while
it is encoded must not.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


def is_theirs(exc: BaseException) -> bool:
    """Tell whether a signal handler of the program raised this."""
    handlers = {_code(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    trace = exc.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in handlers:
            return True
        trace = trace.tb_next
    return False


@contextlib.contextmanager
def suppressing(*kinds: type[Exception]) -> Iterator[None]:
    """Suppress exceptions of these kinds, but what a signal handler of the program raised."""
    try:
        yield
    except kinds as exc:
        if is_theirs(exc):
            raise


def _code(handler: object) -> object:
    return getattr(getattr(handler, "__func__", handler), "__code__", None)
