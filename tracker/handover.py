"""Hand batches to the manager over HTTP: in order, one at a time, until it has them.

The manager answers 202 when a batch is in its queue, not when it is durable.  So a manager that
restarted (another `instance`) may have lost what it had taken.  It must not take the next batch
either, whose watermark would cover the gap: each batch names the instance that it is for
(``If-Match``), and on 412 the watermarks are asked for and the journal is read again from there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

import msgspec

from pllib.errors import UnavailableError
from pllib.linked import Batch, encode_batch
from pllib.managers import Caller, Reply
from pllib.project import Endpoint

FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 2.0
REQUEST_TIMEOUT_S = 30.0
FINAL = (200, 202, 400, 412, 413, 422)
"""Statuses that another attempt would not change; every other one waits for better times."""
FAILED = 500
"""Of an error that the manager did not foresee: of a batch alone, or of all of them."""


class ManagerRestartedError(Exception):
    """The manager is not the one that took the last batch: read the journal again."""


class Watermarks(msgspec.Struct):
    """What the manager's store has of each run of a journal."""

    instance: str
    watermarks: dict[str, int]


class RefusedError(Exception):
    """The manager will never take this batch, or it can't be encoded for it; says why."""


class FailedError(RefusedError):
    """The manager failed on this batch; it may take it another time, and others meanwhile."""


class Handover:
    """A client of one manager; for one thread, but for `stop`."""

    def __init__(self, find_manager: Callable[[], Endpoint | None]) -> None:
        """Args:
        find_manager: Returns the endpoint of the manager, None when there is none.
        """
        self._find = find_manager
        self._caller = Caller(REQUEST_TIMEOUT_S)
        self._instance: str | None = None
        self._unconfirmed: dict[str, int] = {}
        self._stopping = threading.Event()
        self.trouble = ""
        self.n_batches = self.n_records = 0

    def stop(self) -> None:
        """Give up waiting for a manager that does not answer."""
        self._stopping.set()

    @property
    def instance(self) -> str:
        """Of the manager that batches are for; empty until one has answered."""
        return self._instance or ""

    @property
    def is_stopped(self) -> bool:
        return self._stopping.is_set()

    def watermarks(self, journal: str) -> dict[str, int] | None:
        """Ask how far the store has each run of a journal; None if stopped before an answer.

        From here on batches are for the manager that answered.
        """
        found = self._ask_watermarks(journal)
        if found is None:
            return None
        self._instance = found.instance
        self._unconfirmed.clear()
        return found.watermarks

    def confirm(self, journal: str) -> None:
        """Ask whether what the manager took is durable by now.

        Raises:
            ManagerRestartedError: Another manager answered.
        """
        found = self._ask_watermarks(journal)
        if found is None:
            return
        if found.instance != self._instance:
            raise ManagerRestartedError
        for run, last in found.watermarks.items():
            if last >= self._unconfirmed.get(run, last + 1):
                del self._unconfirmed[run]

    @property
    def n_unconfirmed(self) -> int:
        """Runs of which the manager has taken more than is known to be durable."""
        return len(self._unconfirmed)

    def _ask_watermarks(self, journal: str) -> Watermarks | None:
        """Ask until there is an answer that can be read; None when stopped."""
        while (answer := self._ask("GET", f"/v1/watermarks?journal={journal}", None)) is not None:
            try:
                return msgspec.json.decode(answer.body, type=Watermarks)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
                self.trouble = f"the manager's watermarks can't be read: {exc}"
            if self._stopping.wait(LONGEST_WAIT_S):
                return None
        return None

    def hand_over(self, batch: Batch) -> bool:
        """Deliver one batch; False if stopped before it was taken.

        Raises:
            ManagerRestartedError: The manager restarted; it has not taken the batch.
            FailedError: It failed on it.
            RefusedError: It does not take it as it is.
        """
        try:
            body = encode_batch(batch)
        except (OverflowError, ValueError, TypeError) as exc:
            raise RefusedError(f"it can't be encoded: {exc}") from exc
        answer = self._ask("POST", "/v1/provenance", body, (*FINAL, FAILED))
        if answer is None:
            return False
        if answer.status == FAILED:
            raise FailedError(f"HTTP {FAILED}: {_reason(answer)}")
        if answer.status == 412:
            raise ManagerRestartedError
        if answer.status != 202:
            raise RefusedError(_reason(answer))
        self._unconfirmed[batch.queue] = batch.last
        self.n_batches += 1
        self.n_records += batch.n_records
        return True

    def _ask(
        self, method: str, path: str, body: bytes | None, final: Collection[int] = FINAL
    ) -> Reply | None:
        """Send until there is an answer with a final status; None when stopped."""
        wait_s = FIRST_WAIT_S
        while True:
            answer = self._send(method, path, body)
            if answer is not None and answer.status in final:
                self.trouble = ""
                return answer
            if self._stopping.wait(wait_s):
                return None
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _send(self, method: str, path: str, body: bytes | None) -> Reply | None:
        endpoint = self._find()
        if endpoint is None or not endpoint.manager:
            self.trouble = "no manager yet"
            return None
        headers = {
            "Content-Type": "application/msgpack",
            "If-Match": f'"{self._instance or ""}"',
        }
        try:
            answer = self._caller.request(endpoint, method, path, body, headers)
        except UnavailableError as exc:
            self.trouble = str(exc)
            return None
        if answer.status >= 400:
            self.trouble = f"{endpoint.manager}: {answer.status} {_text(answer)}"
        return answer

    def close(self) -> None:
        self._caller.close()


def _reason(answer: Reply) -> str:
    """Return what the manager says is wrong (`manager.problems`)."""
    try:
        return str(msgspec.json.decode(answer.body)["error"])[:300]
    except (msgspec.MsgspecError, LookupError, TypeError):
        return f"{answer.status} {_text(answer)}"


def _text(answer: Reply) -> str:
    return answer.body[:300].decode(errors="replace")
