"""A file that somebody has in hand: which recorded version it is, or that it is none.

Size and time are compared first.  What they do not tell is read, if a recorded version of that size
has a digest: a copy, or a file that was touched, holds what that held.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

import msgspec

from pllib.contents import FileChangedError, digest_of
from pllib.data import Directory, File, version_of
from pllib.moments import date_time, nanoseconds, sortable
from pllib.records import MIN_CONTENT_BYTES, FileVersion

from .engine import Engine
from .progress import bar
from .runs import digest_of as digest_of_run
from .terms import checked_iri, string

State = Literal["unchanged", "same content", "copy", "changed", "unknown", "not comparable"]
KNOWN = ("unchanged", "same content", "copy")
MAX_VERSIONS = 1000
"""Of one size, or one path, that are looked at, the newest."""
MAX_TOLD = 20
"""Of which it is told whose they are."""
LONG_BYTES = 256 << 20
"""What is larger is read with a bar on a terminal."""

_VERSIONS = """
SELECT DISTINCT ?file ?path ?size ?modified ?version ?digest WHERE {{
  ?file {which} ; sprov:path ?path ; sprov:size ?size ; sprov:modified ?modified .
  OPTIONAL {{ ?file sprov:version ?version }}
  OPTIONAL {{ ?file prov:specializationOf/sprov:digest ?digest }}
  {only}
}} ORDER BY DESC(?modified) ?file LIMIT {most}
"""

_DIRECTORY = "FILTER(BOUND(?version))"
_FILE = "FILTER(!BOUND(?version))"

_TOUCHED = """
SELECT ?file ?how ?run ?job ?plan (MIN(?began) AS ?at) WHERE {{
  VALUES ?file {{ {files} }}
  {{ ?file prov:wasGeneratedBy ?a BIND("made" AS ?how) }}
  UNION {{ ?a prov:used ?file BIND("used" AS ?how) }}
  ?a prov:startedAtTime ?began ; prov:qualifiedAssociation ?q .
  ?q prov:agent/sprov:run ?run OPTIONAL {{ ?q prov:hadPlan/rdfs:label ?plan }}
  OPTIONAL {{ ?run sprov:job ?job }}
}} GROUP BY ?file ?how ?run ?job ?plan ORDER BY ?how DESC(?at)
"""


class Version(msgspec.Struct):
    """A version as it was recorded, and whose it is: who made it, else who used it last."""

    id: str
    path: str
    size: int
    modified: str
    digest: str | None = None
    how: str | None = None
    """``made`` or ``used``."""
    plan: str | None = None
    """Name of what made or used it."""
    run: str | None = None
    job: str | None = None
    at: str | None = None
    version: str = ""
    """Of a directory."""

    @property
    def whose(self) -> str:
        """Say whose it is, in words."""
        if self.run is None:
            return "of an unknown run"
        job = f" of job {self.job}" if self.job else ""
        when = (self.at or "")[:19].replace("T", " ")
        return (
            f"{self.how} by {self.plan or 'run'} in run {digest_of_run(self.run)[:8]}{job}, {when}"
        )


class Identity(msgspec.Struct):
    """What a file is."""

    file: str
    """As it was named."""
    state: State
    reason: str = ""
    versions: list[Version] = []
    """That it is, the made ones first; unless it is known, those that were recorded at its path."""

    @property
    def is_known(self) -> bool:
        return self.state in KNOWN


def identify(engine: Engine, name: str) -> Identity:
    """Say which recorded version a file or directory is."""
    if not name:
        return Identity(name, "not comparable", "an empty name is no file's")
    now = _version(name)
    path = now.path if isinstance(now, FileVersion) else os.path.realpath(name)
    of_path = f"sprov:path {string(path)}"
    here = versions(engine, of_path)
    if isinstance(now, str):
        return Identity(name, "not comparable", now, tell_whose(engine, here))
    if same := _same(engine, of_path, now):
        return Identity(name, "unchanged", "", tell_whose(engine, same))
    if named := [version for version in here if _is_named(version)]:
        reason = "the program gave its version a name, which does not tell what is in it"
        return Identity(name, "not comparable", reason, tell_whose(engine, named))
    try:
        alike = _alike(engine, name, now)
    except (OSError, FileChangedError) as exc:
        reason = getattr(exc, "strerror", None) or "it is being written"
        return Identity(name, "not comparable", reason, tell_whose(engine, here))
    if alike:
        touched = [version for version in alike if version.path == now.path]
        state: State = "same content" if touched else "copy"
        return Identity(name, state, "", tell_whose(engine, touched or alike))
    if here:
        return Identity(name, "changed", _difference(here[0], now), tell_whose(engine, here))
    return Identity(name, "unknown", _why_unknown(engine, now))


def _version(name: str) -> FileVersion | str:
    """Return the version of what is there now, or why there is none."""
    found = version_of(Directory(name) if os.path.isdir(name) else File(name))  # noqa: PTH112
    return found if isinstance(found, FileVersion) else found.reason


def _same(engine: Engine, of_path: str, now: FileVersion) -> list[Version]:
    """Return versions of this path that are what is there, by size and time or by manifest.

    The store is not compared: a node's own disk has another name after each boot.
    """
    at = date_time(now.mtime_ns, digits=9)
    only = f'FILTER(?size = {now.size} && ?modified = "{at}"^^xsd:dateTime)'
    return [one for one in versions(engine, of_path, only) if one.version == now.version]


def _alike(engine: Engine, name: str, now: FileVersion) -> list[Version]:
    """Return the versions that hold the same; it is read only if one of its size has a digest."""
    only = f"{_DIRECTORY if now.version else _FILE} FILTER(BOUND(?digest))"
    if not versions(engine, f"sprov:size {now.size}", only, most=1):
        return []
    digest = string(f"blake2b:{_read(name, now)}")
    return versions(engine, f"prov:specializationOf/sprov:digest {digest}", only)


def _why_unknown(engine: Engine, now: FileVersion) -> str:
    reason = "no record speaks of its path or of what it holds"
    if now.size < MIN_CONTENT_BYTES:
        return f"{reason}; files under {MIN_CONTENT_BYTES:,} bytes are known by their path alone"
    undigested = versions(engine, f"sprov:size {now.size}", "FILTER(!BOUND(?digest))")
    if undigested:
        return f"{reason}; {len(undigested):,} of its size were recorded without a digest"
    return reason


def versions(engine: Engine, which: str, only: str = "", most: int | None = None) -> list[Version]:
    """Return recorded versions, the newest first.

    Args:
        which, only: What they have, and a filter, as SPARQL.
    """
    rows = engine.select(_VERSIONS.format(which=which, only=only, most=most or MAX_VERSIONS))
    return [
        Version(
            row["file"], row["path"], int(row["size"]), row["modified"], row.get("digest"),
            version=row.get("version", ""),
        )
        for row in rows
    ]  # fmt: skip


def _is_named(version: Version) -> bool:
    """Tell whether this is a directory in which nothing was looked at."""
    return bool(version.version) and version.size == 0 and _nanoseconds(version.modified) == 0


def _nanoseconds(moment: str) -> int | None:
    try:
        return nanoseconds(moment)
    except ValueError:  # of an import
        return None


def _read(name: str, now: FileVersion) -> str:
    path, is_long = os.path.realpath(name), now.size >= LONG_BYTES
    with bar(now.size if is_long else 0, f"reading {os.path.basename(path)}") as reading:  # noqa: PTH119
        progress = reading.update if is_long else None
        return digest_of(path, now.size, is_directory=bool(now.version), progress=progress)


def _difference(newest: Version, now: FileVersion) -> str:
    if newest.version and newest.version != now.version:
        return "the directory's content is not what was recorded"
    if newest.size != now.size:
        return f"{newest.size:,} bytes then, {now.size:,} now"
    if newest.digest is None:
        return "modified since, and no digest of its content was recorded"
    return "its content is not what was recorded"


def tell_whose(engine: Engine, found: Sequence[Version]) -> list[Version]:
    """Return versions with who made or used them: first those that somebody made, the newest first.

    Of more than `MAX_TOLD` the oldest are left out.
    """
    told = list(found[:MAX_TOLD])
    values = " ".join(f"<{checked_iri(version.id)}>" for version in told)
    whose: dict[str, dict[str, str]] = {}
    for row in engine.select(_TOUCHED.format(files=values)) if told else ():
        whose.setdefault(row["file"], row)
    for version in told:
        if version.id in whose:
            row = whose[version.id]
            version.how, version.run, version.at = row["how"], row["run"], row["at"]
            version.plan, version.job = row.get("plan"), row.get("job")
    by_time = sorted(told, key=lambda version: sortable(version.at or ""), reverse=True)
    return sorted(by_time, key=lambda version: version.how != "made")
