"""Records that can't be linked: counted by reason, as things of the graph that say so.

They may be of a newer pllib, or wrong.  Their number is that of one frame, so that a frame which is
linked again counts once.
"""

from __future__ import annotations

from collections import Counter
from typing import get_args

from pllib import identity
from pllib.log import Frame, record_bodies
from pllib.records import CONTEXT_TAG, SIGNATURE_TAG, AnyRecord, Context, Signature

from .literals import literal
from .points import OUT_OF_RANGE, UNDEFINED
from .tables import Tables

REFUSED = "frame refused: "
"""How the reason begins when it is the manager's."""
_TAGS = frozenset(kind.__struct_config__.tag for kind in get_args(AnyRecord))


class Skipped:
    """The records of one frame that are passed over.

    Contexts and signatures are no records to count: what needs one that is missing is skipped.
    """

    UNREADABLE = "can't be read"
    NEWER = "of a kind that this version does not know"

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._counts: Counter[str] = Counter()

    def add(self, reason: str, count: int = 1) -> None:
        if count:
            self._counts[reason] += count

    def add_all(self, reason: str) -> None:
        """Skip all records of the frame."""
        bodies = record_bodies(self._frame.payload)
        self._counts.clear()
        self.add(reason, sum(_tag(body) not in (CONTEXT_TAG, SIGNATURE_TAG) for body in bodies))

    def add_unreadable(self, body: memoryview) -> None:
        tag = _tag(body)
        if tag not in (CONTEXT_TAG, SIGNATURE_TAG):
            self.add(self.UNREADABLE if tag in _TAGS else self.NEWER)

    def add_wrong(self, record: AnyRecord, exc: Exception) -> None:
        if not isinstance(record, Context | Signature):
            self.add(self.reason(type(record).__name__, exc))

    @staticmethod
    def reason(what: str, exc: Exception) -> str:
        """Return one of few texts: they tell kinds of record and fault, and no value."""
        if isinstance(exc, LookupError):
            return f"{what}: {UNDEFINED}"
        if isinstance(exc, ArithmeticError):
            return f"{what}: {OUT_OF_RANGE}"
        return f"{what}: {type(exc).__name__}"

    def tell(self, tables: Tables, run: str) -> None:
        log_id, number = self._frame.log_id.hex(), self._frame.number
        for reason, count in self._counts.items():
            tables.skipped[reason] += count
            tables.node(
                "skipped", identity.digest("skipped", log_id, number, reason), None,
                (
                    ("skipped_reason", "string", reason),
                    ("skipped_records", *literal(count)),
                    ("frame", *literal(number)),
                ),
                (("of_run", "run", run), ("of_log", "log", log_id)),
            )  # fmt: skip


def _tag(body: memoryview) -> int | None:
    """Return what says which kind of record a body is; a context's, of 16 fields, is read as 0."""
    return body[1] if len(body) > 1 else None
