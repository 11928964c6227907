"""Blocks in generators that an exception went past, such as the loop over `sections`.

When an exception leaves a loop, CPython closes the generator that the loop went through, which is
shown GeneratorExit alone, as it is by ``break`` (3.10 to 3.14).  The exception itself is seen when
it arrives at the end of a block around: its traceback then has the loop's frame, and the
instruction at which it was left.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from opcode import opmap
from types import CodeType, FrameType
from typing import TYPE_CHECKING, NamedTuple

from .failures import describe_error
from .recording import NOTHING
from .records import Ended, encode

if TYPE_CHECKING:
    from .execution import Stage
    from .session import Session

MAX_FRAMES = 30
MAX_ERRORS = 10
"""Of a chain: an exception may be raised from another."""
_RAISING = {opmap[name] for name in ("RAISE_VARARGS", "RERAISE") if name in opmap}


class Place(NamedTuple):
    """Where a frame was."""

    frame: int
    """Its `id`: a reference would keep what its variables refer to."""
    code: CodeType
    instruction: int


class Left(NamedTuple):
    """An execution that ended with its generator."""

    kind: str
    name: str
    seq: int
    ended_ns: int
    places: list[Place]
    """From the generator outward."""
    thread: int


def note_left(stage: Stage, ended_ns: int) -> None:
    """Remember an execution that ended with its generator."""
    left = Left(stage.kind, stage.name, stage.seq, ended_ns, _places(), threading.get_ident())
    stage._session._left.append(left)


def forget_caught(session: Session) -> None:
    """Forget what this thread left, if it goes on with something else and handles no exception.

    What went past was caught then, or there was none; another frame may be where that one was.
    """
    if sys.exc_info()[1] is None:
        mine = threading.get_ident()
        for left in [*session._left]:
            if left.thread == mine:
                session._left.remove(left)


def tell_causes(session: Session, error: BaseException) -> None:
    """Say of what ended with its generator that an exception went past, if this one did.

    Each has a second record of the same end: the first one was written when nobody knew.
    """
    for left in [*session._left]:
        cause = next((one for one in _chain(error) if _went_past(one, left.places)), None)
        if cause is not None:
            session._left.remove(left)
            ended = Ended(session.next_seq(), left.seq, left.ended_ns, describe_error(cause))
            session.write((left.kind, left.name, NOTHING, NOTHING), _as_is(encode(ended)))


def _as_is(record: bytes) -> Callable[[int], bytes]:
    return lambda _: record


def _places() -> list[Place]:
    """Return where the callers are."""
    frame: FrameType | None = sys._getframe(1)
    found: list[Place] = []
    while frame is not None and len(found) < MAX_FRAMES:
        found.append(Place(id(frame), frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return found


def _chain(error: BaseException) -> Iterator[BaseException]:
    following: BaseException | None = error
    for _ in range(MAX_ERRORS):
        if following is None:
            return
        yield following
        following = following.__cause__ or following.__context__


def _went_past(error: BaseException, left: list[Place]) -> bool:
    """Tell whether an exception is why a loop was left.

    The innermost frame of both decides.  It is at the instruction that raised, or at one that
    raises again, as at the end of `finally`; after ``break`` it is at neither.
    """
    raised: dict[tuple[int, CodeType], int] = {}
    trace = error.__traceback__
    while trace is not None:
        raised[id(trace.tb_frame), trace.tb_frame.f_code] = trace.tb_lasti
        trace = trace.tb_next
    for place in left:
        at = raised.get((place.frame, place.code))
        if at is not None:
            is_raising = place.code.co_code[place.instruction] in _RAISING
            return is_raising or at == place.instruction
    return False
