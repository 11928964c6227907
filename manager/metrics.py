"""What `/metrics` says of a manager and of its tracker.

The tracker speaks ZeroMQ alone, so it is asked as `sprov status` asks it.  One that does not answer
has ``sprov_tracker_up 0`` and no other sample: a count that stood still would be a lie.

Source: Prometheus text format 0.0.4; counts are counters and end in ``_total``, units are base
units (prometheus.io/docs/practices/naming).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pllib.errors import SettingsError
from pllib.regular import open_regular

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
SHORTEST_TOKEN = 16
LONGEST_TOKEN = 1024
COUNTER, GAUGE = "counter", "gauge"


class Metric(NamedTuple):
    """A family, and where its value is in a status: a number, or numbers by one label."""

    name: str
    kind: str
    key: str
    help: str
    label: str = ""
    """Of the keys, where the value is a mapping."""


MANAGER = (
    Metric("records_total", COUNTER, "records", "Records that were committed to the store."),
    Metric("triples_total", COUNTER, "triples", "Triples that were loaded, copies included."),
    Metric("commits_total", COUNTER, "commits", "Commits to the store."),
    Metric("snapshots_total", COUNTER, "snapshots", "Snapshots that queries read."),
    Metric("skipped_records_total", COUNTER, "skipped_by", "Records that are not in the store, "
           "but counted there.", "reason"),
    Metric("snapshot_timestamp_seconds", GAUGE, "snapshot_at", "When the last snapshot was made."),
    Metric("as_of_timestamp_seconds", GAUGE, "as_of", "Up to when queries see what was taken in."),
    Metric("waiting_batches", GAUGE, "waiting_batches", "Batches that are not committed yet."),
    Metric("queries_total", COUNTER, "queries_by", "Queries by how they ended.", "outcome"),
    Metric("queries_running", GAUGE, "queries_running", "Queries that are being answered."),
    Metric("queries_waiting", GAUGE, "queries_waiting", "Queries that wait for a process."),
    Metric("http_refused_total", COUNTER, "http_refused", "Requests that were refused before they "
           "were looked at, by status.", "status"),
    Metric("store_free_bytes", GAUGE, "store_free_bytes", "Space left for the store."),
    Metric("trouble", GAUGE, "in_trouble", "1 while something keeps it from its work."),
)  # fmt: skip
TRACKER = (
    Metric("frames_total", COUNTER, "frames", "Frames in the journal, those of trackers before "
           "included."),
    Metric("duplicate_frames_total", COUNTER, "duplicates", "Frames that came again."),
    Metric("refused_total", COUNTER, "refused_by", "Messages and connections that were refused.",
           "reason"),
    Metric("handed_over_records_total", COUNTER, "handed_over", "Records that the manager took."),
    Metric("skipped_records_total", COUNTER, "skipped_by", "Records that are not in the store, "
           "but counted there.", "reason"),
    Metric("lost_records_total", COUNTER, "lost_by", "Records that ranks lost before they could "
           "send them, as they said when they ended.", "reason"),
    Metric("hellos_total", COUNTER, "hellos", "Ranks that connected, again or not."),
    Metric("digested_files_total", COUNTER, "digested", "Files that were read."),
    Metric("overwritten_files_total", COUNTER, "overwritten", "Files that changed before they were "
           "read."),
    Metric("clients", GAUGE, "clients", "Ranks that are connected."),
    Metric("clients_limit", GAUGE, "clients_that_fit", "Ranks that fit."),
    Metric("silent_clients", GAUGE, "silent", "Ranks that can't be reached and of which no end is "
           "known."),
    Metric("queued_records", GAUGE, "queued_records", "Records that wait to be handed over."),
    Metric("unread_frames", GAUGE, "unread_frames", "Frames of the journal that are not read yet."),
    Metric("files_to_digest", GAUGE, "to_digest", "Files that wait to be read."),
    Metric("journal_bytes", GAUGE, "journal_bytes", "Size of the journal."),
    Metric("journal_free_bytes", GAUGE, "journal_free_bytes", "Space left for the journal."),
    Metric("project_bytes", GAUGE, "project_bytes", "Size of the project, if it has a quota."),
    Metric("quota_bytes", GAUGE, "quota_bytes", "The project's quota, if it has one."),
    Metric("trouble", GAUGE, "in_trouble", "1 while something keeps it from its work."),
)  # fmt: skip


def render(manager: Mapping[str, Any], tracker: Mapping[str, Any] | None, version: str) -> str:
    """Return the text of an answer.

    Args:
        manager: Its status.
        tracker: The status of its tracker; None if that does not answer.
    """
    lines = [
        *_family("sprov_build_info", GAUGE, "The version of the manager.", {version: 1}, "version"),
        *_families("sprov_manager", MANAGER, manager),
        *_family("sprov_tracker_up", GAUGE, "1 if the tracker answers.", int(tracker is not None)),
        *_families("sprov_tracker", TRACKER, tracker or {}),
    ]
    return "".join(f"{line}\n" for line in lines)


def _families(prefix: str, metrics: tuple[Metric, ...], status: Mapping[str, Any]) -> list[str]:
    """Return the lines of what a status has; one of another version may lack some."""
    values = {**status, "in_trouble": int(bool(status.get("trouble")))} if status else {}
    lines: list[str] = []
    for metric in metrics:
        value = values.get(metric.key)
        is_right = isinstance(value, Mapping) if metric.label else isinstance(value, int | float)
        if is_right:
            name = f"{prefix}_{metric.name}"
            lines += _family(name, metric.kind, metric.help, value, metric.label)
    return lines


def _family(name: str, kind: str, text: str, value: Any, label: str = "") -> list[str]:
    head = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    if not label:
        return [*head, f"{name} {value}"]
    samples = sorted((str(key), count) for key, count in value.items())
    return head + [f'{name}{{{label}="{_label(key)}"}} {count}' for key, count in samples]


def _label(text: str) -> str:
    return text.encode("utf-8", "replace").decode().translate(_ESCAPES)


def free_bytes(folder: Path) -> int | None:
    """Return the space that this user may still fill on a folder's file system; None if unknown."""
    try:
        space = os.statvfs(folder)
    except OSError:
        return None
    return space.f_bavail * space.f_frsize


def read_token(path: str) -> str:
    """Return the token that opens `/metrics` alone, from the file of this name; empty for none.

    Raises:
        SettingsError: It can't be read, everybody may read it, or it is no token.
    """
    if not path:
        return ""
    try:
        with open(open_regular(path), "rb") as file:
            is_open = os.fstat(file.fileno()).st_mode & stat.S_IROTH
            token = file.read(LONGEST_TOKEN + 1).strip()
    except OSError as exc:
        raise SettingsError(f"metrics_token_file {path} can't be read: {exc.strerror}") from exc
    if is_open:
        raise SettingsError(f"everybody may read metrics_token_file {path}", f"chmod o-r {path}")
    is_text = token.isascii() and token.decode("ascii", "replace").isprintable()
    if not is_text or b" " in token or not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN:
        raise SettingsError(
            f"metrics_token_file {path} has no token: {SHORTEST_TOKEN} to {LONGEST_TOKEN} "
            "characters of ASCII without spaces",
            f"openssl rand -hex 32 > {path}",
        )
    return token.decode()
