"""Read the files that no tracker read, so that copies of them are known (`sprov ingest`)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pyoxigraph as ox

from manager.store.snapshots import open_snapshot, query_prefixes
from pllib import linked
from pllib.identity import file_version
from pllib.log import frame_key
from pllib.moments import nanoseconds
from pllib.project import Project
from pllib.records import MIN_CONTENT_BYTES
from pllib.settings import load
from query.progress import bar
from tracker.digests import DigestLog, examine
from tracker.journal import Journal

FRAME_RECORDS = 256

_UNREAD = f"""
SELECT ?file ?store ?path ?size ?modified ?version WHERE {{
  ?file sprov:modified ?modified ; sprov:size ?size ; sprov:store ?store ; sprov:path ?path .
  OPTIONAL {{ ?file sprov:version ?version }}
  FILTER(?size >= {MIN_CONTENT_BYTES})
  FILTER NOT EXISTS {{ ?file prov:specializationOf ?content }}
  FILTER NOT EXISTS {{ ?file sprov:overwritten true }}
}}
"""


def digest_unread(project: Project, journal: Journal) -> int:
    """Read what the store has no digest of and is still there; return how many files that were.

    Their records are appended to `journal`, and not yet in the store.
    """
    largest = load(project.config, os.environ).digest_limit_bytes
    if not largest or not (project.snapshots / "current").exists():
        return 0
    unread = list(_unread(project))
    log = DigestLog("sprov ingest")
    found, n_files = [], 0
    with bar(len(unread), "reading files") as reading:
        for nth, file in enumerate(unread, 1):
            record = examine(file, largest)
            if record is not None:
                found.append(record)
            if found and (nth == len(unread) or len(found) >= FRAME_RECORDS):
                packed = log.frame(found).pack()
                journal.append([(frame_key(packed), packed)])
                n_files += len(found)
                found = []
            reading.update(1)
    return n_files


def _unread(project: Project) -> Iterator[linked.File]:
    rows = open_snapshot(project.snapshots).query(_UNREAD, prefixes=query_prefixes())
    assert isinstance(rows, ox.QuerySolutions)
    for row in rows:
        store, path, size, modified = (
            row[name].value for name in ("store", "path", "size", "modified")
        )
        version = row["version"].value if row["version"] else ""
        try:
            mtime_ns, n_bytes = nanoseconds(modified), int(size)
        except ValueError:  # as an import may say
            continue
        found = file_version(store, path, n_bytes, mtime_ns, version)
        if row["file"].value.endswith(found):
            yield linked.File(found, "file", store, path, n_bytes, mtime_ns, version)
