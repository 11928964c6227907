"""What daemons log: one JSON object a line, in a file for each daemon that is turned over.

The standard library's logging does: its records carry what libraries say (asyncio, uvicorn) as well
as what we do, and structlog would bring a dependency for one `json.dumps`.

Guarantee: who logs never waits for a disk, and gets no exception.  A thread writes; lines that do
not fit into its queue or on the disk are dropped and counted, and the count is in the next line.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import queue
import signal
import stat
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .errors import Error
from .jsontext import plain
from .loglines import Entry, for_journal
from .redaction import load as load_redactor
from .sharing import make_folder, open_file

if TYPE_CHECKING:
    from pathlib import Path

    from .project import Project
    from .settings import Serving

LEVELS = ("debug", "info", "warning", "error")
SUFFIX = ".jsonl"
FILE_BYTES = 4 << 20
"""A file that has grown to this is turned over."""
N_OLD = 4
"""Files of each daemon that are kept besides the one that is written."""
MOST_WAITING = 10_000
"""Lines: about 5 MiB."""
AT_ONCE = 1000
MOST_CHARACTERS = 4000
"""Of a text in a line: a traceback is cut in its midst."""
END_S = 1.0
"""How long the end waits for the disk."""

Clean = Callable[[str], str]

_logger = logging.getLogger("sprov")
_logger.addHandler(logging.NullHandler())  # without a file nothing is printed


def note(event: str, level: int = logging.INFO, /, **facts: Any) -> None:
    """Log an event of this daemon; of a process that is none, nothing.

    Args:
        event: The same words each time, so that events can be counted; what differs is in `facts`.
    """
    _logger.log(level, event, extra={"facts": facts})


def warn(event: str, /, **facts: Any) -> None:
    note(event, logging.WARNING, **facts)


@contextlib.contextmanager
def logging_to(project: Project, name: str, daemon: str, settings: Serving) -> Iterator[None]:
    """Log what this process says for the block, as `daemon` of the endpoint `name`.

    An error that leaves the block is logged on its way.
    """
    if settings.log_level == "off":
        yield
        return
    clean = load_redactor(project.config, os.environ).text
    file = LogFile(project.logs / name / f"{daemon}{SUFFIX}", daemon, clean)
    root = logging.getLogger()
    root.addHandler(file)
    _logger.setLevel(settings.log_level.upper())
    threading.excepthook = _note_thread
    try:
        yield
    except Exception as exc:
        _note_failure("failed", exc)
        raise
    finally:
        threading.excepthook = threading.__excepthook__
        root.removeHandler(file)
        file.finish()


def attach(logger: str) -> None:
    """Have a library's logger, of which nothing reaches the root, written to our file too."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogFile):
            logging.getLogger(logger).addHandler(handler)


def versions(*modules: str) -> dict[str, str]:
    """Return the versions of sprov, Python and modules, for the line of a start."""
    from importlib.metadata import PackageNotFoundError, version

    by_name = {"python": platform.python_version()}
    for module in ("sprov", *modules):
        with contextlib.suppress(PackageNotFoundError):
            by_name[module] = version(module)
    return by_name


def _note_failure(event: str, exc: BaseException) -> None:
    """Log an error: ours in a line, with a traceback one that nobody foresaw."""
    facts: dict[str, Any] = {"error": f"{type(exc).__name__}: {exc}"}
    if not isinstance(exc, Error):
        facts["traceback"] = "".join(traceback.format_exception(exc))
    note(event, logging.ERROR, **facts)


def _note_thread(raised: threading.ExceptHookArgs) -> None:
    if raised.exc_value is not None:
        _note_failure("a thread failed", raised.exc_value)
    threading.__excepthook__(raised)


class LogFile(logging.Handler):
    """Writes what is logged to a file, on a thread of its own."""

    def __init__(self, path: Path, daemon: str, clean: Clean = str) -> None:
        """Args:
        clean: Takes secrets out of a text.
        """
        super().__init__()
        self._path = path
        self._daemon = daemon
        self._journal = 2 if is_journal(2) else None
        self._clean = clean
        self._entries: queue.Queue[Entry | None] = queue.Queue(MOST_WAITING)
        self._fd: int | None = None
        self._is_torn = False
        """The file ends in the midst of a line."""
        self.n_refused = self.n_unwritten = 0
        """Lines that were dropped, by who logged and by the thread that writes."""
        self._n_told = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @property
    def n_dropped(self) -> int:
        return self.n_refused + self.n_unwritten

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._entries.put_nowait(_entry(record, self._daemon))
        except Exception:  # noqa: BLE001  a full queue, or a message that can't be formatted
            self.n_refused += 1

    def finish(self, timeout_s: float = END_S) -> None:
        """Have what was logged written, if the disk takes it in time."""
        until = time.monotonic() + timeout_s
        with contextlib.suppress(queue.Full):
            self._entries.put(None, timeout=timeout_s)
            self._thread.join(max(until - time.monotonic(), 0.0))

    def _run(self) -> None:
        # It may run before a batch job's daemons block SIGTERM, and would take it for all threads.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            entries = [self._entries.get()]
            with contextlib.suppress(queue.Empty):
                while len(entries) < AT_ONCE and entries[-1] is not None:
                    entries.append(self._entries.get_nowait())
            self._write([entry for entry in entries if entry is not None])
            if entries[-1] is None:
                return

    def _write(self, entries: list[Entry]) -> None:
        n_dropped = self.n_dropped
        untold = n_dropped - self._n_told
        if untold:
            entries = [self._dropped(untold), *entries]
        try:
            entries = [self._written(entry) for entry in entries]
            self._tell_journal(entries)
            lines = [json.dumps(entry).encode() + b"\n" for entry in entries]
            fd = self._open()
            data = b"\n" * self._is_torn + b"".join(lines)
            n_written = os.write(fd, data)
        except (OSError, ValueError, TypeError):
            self._close()
            n_lines = 0
        else:
            self._is_torn = not data[:n_written].endswith(b"\n")
            n_lines = data[:n_written].count(b"\n") - (data[:1] == b"\n")
        if untold and n_lines:
            self._n_told = n_dropped
        self.n_unwritten += len(entries) - max(n_lines, bool(untold))

    def _dropped(self, n_lines: int) -> Entry:
        return {
            "at": time.time(), "level": "warning", "daemon": self._daemon, "pid": os.getpid(),
            "event": "lines of this log were dropped", "lines": n_lines,
        }  # fmt: skip

    def _tell_journal(self, entries: list[Entry]) -> None:
        """Write to stderr if that is systemd's journal."""
        if self._journal is not None:
            named = [{**entry, "endpoint": self._path.parent.name} for entry in entries]
            text = "".join(f"{for_journal(entry)}\n" for entry in named)
            with contextlib.suppress(OSError):
                os.write(self._journal, text.encode())

    def _written(self, entry: Entry) -> Entry:
        at = datetime.fromtimestamp(entry["at"]).astimezone().isoformat(timespec="milliseconds")
        return dict(_cut(plain({**entry, "at": at}), self._clean))

    def _open(self) -> int:
        """Return the file's descriptor: of a new file, if the other is full or was deleted."""
        if self._fd is not None:
            status = os.fstat(self._fd)
            if status.st_nlink and status.st_size < FILE_BYTES:
                return self._fd
            if status.st_nlink and os.path.samestat(status, self._path.stat()):
                _turn_over(self._path)
            self._close()
        make_folder(self._path.parent)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK  # a FIFO has no reader
        self._fd = open_file(self._path, flags)
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{self._path} is no regular file")
        self._is_torn = _ends_torn(self._path, status.st_size)
        return self._fd

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def is_journal(fd: int) -> bool:
    """Tell whether a descriptor leads to systemd's journal.  Source: systemd.exec(5)."""
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _entry(record: logging.LogRecord, daemon: str) -> Entry:
    facts = getattr(record, "facts", None)
    if facts is None:  # a library's
        facts = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            facts["traceback"] = "".join(traceback.format_exception(record.exc_info[1]))
    head = {
        "at": record.created, "level": record.levelname.lower(), "daemon": daemon,
        "pid": record.process, "event": record.getMessage(),
    }  # fmt: skip
    return {**head, **facts, **head}  # in this order, whatever the facts are called


def _cut(value: Any, clean: Clean) -> Any:
    """Return a value with texts that have no secrets and are not too long."""
    if isinstance(value, str):
        value = clean(value)
        half = MOST_CHARACTERS // 2
        return value if len(value) <= 2 * half else f"{value[:half]} … {value[-half:]}"
    if isinstance(value, dict):
        return {key: _cut(part, clean) for key, part in value.items()}
    return [_cut(part, clean) for part in value] if isinstance(value, list) else value


def _turn_over(path: Path) -> None:
    """Give each file the name of the next older one; the oldest is gone then."""
    for nth in range(N_OLD - 1, -1, -1):
        newer = path.with_name(f"{path.name}.{nth}") if nth else path
        with contextlib.suppress(FileNotFoundError):
            newer.replace(path.with_name(f"{path.name}.{nth + 1}"))


def _ends_torn(path: Path, n_bytes: int) -> bool:
    """Tell whether the last writer could not finish its line."""
    if not n_bytes:
        return False
    with path.open("rb") as file:
        file.seek(n_bytes - 1)
        return file.read(1) not in (b"\n", b"")
