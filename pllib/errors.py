"""Errors raised on purpose, for people: one line that says what was wrong, and a hint.

Error                        exit 1
├── SettingsError            exit 2   a setting, file or option is not usable
├── NotAProjectError         exit 2   no .sprov/ here or above
├── LogError                 exit 3
│   ├── NotALogError         the file is no provenance log
│   ├── LogVersionError      a log of another format version
│   └── LogCorruptError      a frame is torn or fails its checksum; what is before it is intact
├── UnavailableError         exit 4   a daemon, port or store is missing, busy or refusing
│   └── BusyError            another process writes a journal or a store, and may end
└── QueryError               exit 5   the query is wrong, or was stopped at a limit
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Error(Exception):
    """Base class; catch this to catch anything that sprov raises on purpose."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class SettingsError(Error):
    exit_code = 2


class NotAProjectError(Error):
    exit_code = 2

    def __init__(self, start: Path) -> None:
        super().__init__(
            f"no .sprov/ in {start} or above it", "Run `sprov init` here, or set SPROV_DIR"
        )


class LogError(Error):
    exit_code = 3


class NotALogError(LogError):
    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not a provenance log", "Logs begin with the bytes SPROVLOG")


class LogVersionError(LogError):
    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            f"{path} has log format version {found}, this sprov reads {known}",
            "Upgrade sprov to read it; the file was left as it is",
        )


class LogCorruptError(LogError):
    """A frame is torn or fails its checksum.

    Attributes:
        offset: Where the frame begins, bytes from the start of the file.
    """

    def __init__(self, path: Path | str, offset: int, reason: str) -> None:
        super().__init__(
            f"{path}: bad frame at byte {offset}: {reason}",
            "`sprov log salvage` keeps every frame that is intact",
        )
        self.offset = offset


class UnavailableError(Error):
    exit_code = 4


class BusyError(UnavailableError):
    pass


class QueryError(Error):
    exit_code = 5
