"""The folder of a demo: one that `sprov demo` made itself, so that it writes over nothing else."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from itertools import count
from pathlib import Path

from pllib.errors import SettingsError

MARKER = ".sprov-demo"
TEXT = "Made by `sprov demo`, which writes over its own files here.\n"
DEFAULT = "sprov-demo"


def prepare(folder: Path) -> Path:
    """Make a folder for the demo, or see that it is one.

    Raises:
        SettingsError: It has something in it that no demo made, or is somebody else's.
        OSError: It can't be made or read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if _is_ours(folder.lstat(), stat.S_ISDIR):
        if not any(folder.iterdir()):
            (folder / MARKER).write_text(TEXT)
        if _is_marked(folder):
            return folder
    raise SettingsError(
        f"{folder} is there, and `sprov demo` did not make it: it was left as it is",
        "Give the name of a new folder",
    )


def prepare_default(around: Path) -> Path:
    """Prepare ``sprov-demo``, or the next of its names that is not somebody's own folder."""
    for nth in count(1):
        folder = around / (DEFAULT if nth == 1 else f"{DEFAULT}-{nth}")
        if not os.path.lexists(folder) or _is_marked(folder):
            return prepare(folder)
    raise AssertionError


def _is_marked(folder: Path) -> bool:
    marker = folder / MARKER
    try:
        return _is_ours(marker.lstat(), stat.S_ISREG) and marker.read_text() == TEXT
    except (OSError, ValueError):
        return False


def _is_ours(found: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    return is_kind(found.st_mode) and found.st_uid == os.geteuid()
