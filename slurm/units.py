"""Read how Slurm writes sizes, times, counts and states; what can't be read is None.

Source: sacct(1), scontrol(1), squeue(1) of 20.11 to 25.05; output of 22.05.8 in tests/data/slurm.
In JSON a number became an object, ``{"set": true, "infinite": false, "number": 3}``, and a state a
list of words, with data_parser v0.0.39 (Slurm 23.02) and v0.0.40 (23.11).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

_PREFIXES = "KMGTPE"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGTPE]?)i?B?([nc]?)")
_SPAN = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")
MAX_MOMENT_S = 1 << 33
"""Later is no time: an end that is not known comes out as 6,090,492,638 in 22.05.8."""
MAX_COUNT = 1 << 62
"""More is no count or size: what is not known is 2**64 - 2 inside Slurm (NO_VAL64)."""


def size_bytes(text: str, default_prefix: str = "") -> int | None:
    """Return bytes of 588K, 4000M, 1.5G; per node or CPU where it ends in n or c (`size_per`)."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        return None
    prefix = found[2] or default_prefix
    size = int(float(found[1]) * 1024 ** (_PREFIXES.index(prefix) + 1 if prefix else 0))
    return size if size < MAX_COUNT else None


def size_per(text: str) -> str:
    """Return what a size is of, in versions before 21.08: ``n`` a node, ``c`` a CPU, else all."""
    found = _SIZE.fullmatch(text.strip())
    return found[3] if found else ""


def span_seconds(text: str) -> float | None:
    """Return seconds of 1-02:03:04, 02:03:04 or 03:04.027; None for UNLIMITED and the like."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def moment_ns(value: Any) -> int | None:
    """Return nanoseconds since 1970 of seconds, or of local time as 2026-11-24T12:03:22."""
    seconds = whole(value)
    if seconds is None and isinstance(value, str):
        try:
            seconds = int(datetime.fromisoformat(value).timestamp())
        except (ValueError, OverflowError, OSError):
            return None
    return seconds * 1_000_000_000 if seconds and 0 < seconds < MAX_MOMENT_S else None


def resources(text: str) -> dict[str, str]:
    """Return trackable resources, ``cpu=8,mem=4G,gres/gpu=2``, by name."""
    pairs = (part.partition("=") for part in text.split(","))
    return {name: count for name, _, count in pairs if name and count}


def gpus(found: dict[str, str]) -> int | None:
    """Return how many GPUs resources hold: those of all types where no sum is given."""
    if "gres/gpu" in found:
        return whole(found["gres/gpu"])
    of_types = [whole(n) for name, n in found.items() if name.startswith("gres/gpu:")]
    known = [n for n in of_types if n is not None]
    return sum(known) if known else None


def exit_code(text: str) -> tuple[int, int] | None:
    """Return exit status and signal of 3:0 or 0:9."""
    status, colon, signal = text.strip().partition(":")
    if not (colon and status.isascii() and status.isdigit() and signal.isascii()):
        return None
    return (int(status), int(signal)) if signal.isdigit() else None


def exit_numbers(code: tuple[int, int] | None, state: str) -> dict[str, float]:
    """Return exit status and signal of what has ended in a state.

    A zero is told of what completed alone: Slurm gives one to jobs that were killed, cancelled or
    lost their node, which exited with nothing.
    """
    if code is None:
        return {}
    status, signal = code
    numbers: dict[str, float] = {"signal": signal} if signal else {}
    return {**numbers, "exit_status": status} if status or state == "COMPLETED" else numbers


def word(value: Any) -> str:
    """Return the state of a job in capitals; CANCELLED of "CANCELLED by 0" and of a list.

    A job that is completing has not ended: nodes still work for it.
    """
    words = value if isinstance(value, list) else [value]
    found = [str(each).split()[0].rstrip("+").upper() for each in words if str(each or "").strip()]
    if "COMPLETING" in found:
        return "COMPLETING"
    return found[0] if found else ""


def whole(value: Any) -> int | None:
    """Return an integer, from whatever form a version of Slurm gives it in."""
    if isinstance(value, dict):
        if value.get("set") is False or value.get("infinite"):
            return None
        return whole(value.get("number"))
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float):
        return int(value) if abs(value) < MAX_MOMENT_S else None
    if isinstance(value, int):
        return value if abs(value) < MAX_COUNT else None
    text = str(value).strip()
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None


def text(value: Any) -> str:
    """Return a text; empty for what Slurm writes where there is none."""
    found = "" if value is None or isinstance(value, dict | list) else str(value).strip()
    return "" if found in ("(null)", "None", "N/A", "None assigned", "Unknown") else found
