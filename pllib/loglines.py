"""Lines of a daemon's log as people read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Entry = dict[str, Any]
"""What one line says: `pllib.daemonlog` writes it as JSON."""
FIRST = ("at", "level", "daemon", "endpoint", "event")
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}
"""Source: syslog(3), and sd-daemon(3) for the prefix ``<N>`` of a line."""


def in_words(entry: Entry) -> str:
    """Return an entry as one line in which nothing steers a terminal."""
    at, level, daemon, endpoint, event = (plain_word(entry.get(key)) for key in FIRST)
    rest = {key: value for key, value in entry.items() if key not in FIRST}
    facts = [f"{_word(key)}={_word(value)}" for key, value in _flat(rest)]
    return " ".join([f"{at} {level.upper():<7} {endpoint} {daemon}: {event}", *facts])


def _flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _word(value: Any) -> str:
    """Return a value as a word: with quotes, as JSON has it, if it is not one as it is."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if text.isprintable() and text and not set(text) & set(' "=') else json.dumps(text)


def plain_word(value: Any) -> str:
    """Return a value as text that steers no terminal."""
    text = str(value)
    return text if text.isprintable() else json.dumps(text)


def for_journal(entry: Entry) -> str:
    """Return an entry as systemd's journal takes it from stderr; it has the time itself."""
    priority = PRIORITIES.get(entry["level"], PRIORITIES["error"])
    return f"<{priority}>{in_words(entry).partition(' ')[2].lstrip()}"
