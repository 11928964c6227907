"""What a support person wants to know of a manager's night, as lines of its log."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from pllib.changes import LOOK_S, Changes, keep_looking

from .workers import Workers
from .writer import Writer

NOT_ANSWERED = ("stopped", "refused")
"""Of queries, as `Workers.status` counts them."""


class Observer:
    """Looks at counts once a second, beside the threads that count."""

    def __init__(self, writer: Writer, workers: Workers) -> None:
        self._writer = writer
        self._workers = workers
        self._changes = Changes()
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=keep_looking, args=(self._look, self._stopping), name="observer", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Have it look for the last time."""
        self._stopping.set()
        self._thread.join(LOOK_S)

    def _look(self, *, at_end: bool) -> None:
        changes, writer = self._changes, self._writer
        changes.trouble(writer.trouble)
        changes.trouble(writer.compactor.trouble, "compaction trouble")
        changes.count("records skipped", dict(writer.counts.skipped), at_end=at_end)
        status = self._workers.status()
        queries = {what: int(status[f"queries_{what}"]) for what in NOT_ANSWERED}
        changes.count("queries not answered", queries, at_end=at_end)
        changes.trouble(_unconfined(status), "queries are not confined")


def _unconfined(status: Mapping[str, int | str]) -> str:
    confinement = str(status["query_processes"])
    return "" if confinement in ("confined", "not asked yet") else confinement
