"""Commands of sprov's that run below a `sprov run` are no part of the command that it watches."""

from __future__ import annotations

import contextlib
import sys


def leave_watch() -> None:
    """Have what this process does from here on, and those that it starts, be nobody's files."""
    hook = sys.modules.get("sprov_opened")
    if hook is not None and hasattr(hook, "leave"):
        with contextlib.suppress(OSError):  # that `sprov run` is over
            hook.leave()
