"""A file that somebody has in hand: which recorded version it is, or that it is none.

Size and time are compared first.  What they do not tell is read, if a recorded version of that size
has a digest: a copy, or a file that was touched, holds what that held.

What is asked of the store about a file depends on what it answered before.  So what a file is, is a
generator that yields what it asks; many files go on side by side, and what they ask is one query.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from typing import Literal, NamedTuple

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
AT_ONCE = 20
"""Searches of one query: `manager.store.guard` allows 1,000 operators."""
FILES_AT_ONCE = 500
"""Of a query about whose they are."""
LONG_BYTES = 256 << 20
"""What is larger is read with a bar on a terminal."""

_VERSIONS = """
SELECT DISTINCT ({number} AS ?number) ?file ?path ?size ?modified ?version ?digest WHERE {{
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


class _Search(NamedTuple):
    """Asks for recorded versions, the newest first."""

    which: str
    only: str = ""
    """What they have, and a filter, as SPARQL."""
    most: int | None = None
    """None for `MAX_VERSIONS`."""


class _Whose(NamedTuple):
    """Asks who made or used versions."""

    versions: Sequence[Version]


_Steps = Generator[_Search | _Whose, list[Version], Identity]


def identify(engine: Engine, name: str) -> Identity:
    """Say which recorded version a file or directory is."""
    return identify_all(engine, [name])[0]


def identify_all(engine: Engine, names: Sequence[str]) -> list[Identity]:
    """Say which recorded version each file or directory is."""
    found: list[Identity | None] = [None] * len(names)
    steps = [_identify(name) for name in names]
    answers: dict[int, list[Version] | None] = dict.fromkeys(range(len(names)))
    while answers:
        asked: dict[int, _Search | _Whose] = {}
        for number, answer in answers.items():
            try:
                asked[number] = _resume(steps[number], answer)
            except StopIteration as ended:
                found[number] = ended.value
        answers = _answered(engine, asked)
    return [each for each in found if each is not None]


def _resume(steps: _Steps, answer: list[Version] | None) -> _Search | _Whose:
    return next(steps) if answer is None else steps.send(answer)


def _answered(
    engine: Engine, asked: dict[int, _Search | _Whose]
) -> dict[int, list[Version] | None]:
    """Return the answer to each, by as few queries as may be."""
    searches = {n: each for n, each in asked.items() if isinstance(each, _Search)}
    whose = {n: each.versions for n, each in asked.items() if isinstance(each, _Whose)}
    found = _search(engine, list(searches.values()))
    told = _tell_whose(engine, list(whose.values()))
    return {**dict(zip(searches, found, strict=True)), **dict(zip(whose, told, strict=True))}


def _identify(name: str) -> _Steps:
    if not name:
        return Identity(name, "not comparable", "an empty name is no file's")
    now = _version(name)
    path = now.path if isinstance(now, FileVersion) else os.path.realpath(name)
    of_path = f"sprov:path {string(path)}"
    here = yield _Search(of_path)
    if isinstance(now, str):
        return Identity(name, "not comparable", now, (yield _Whose(here)))
    same = yield _same(of_path, now)
    if same := [one for one in same if one.version == now.version]:
        return Identity(name, "unchanged", "", (yield _Whose(same)))
    if named := [version for version in here if _is_named(version)]:
        reason = "the program gave its version a name, which does not tell what is in it"
        return Identity(name, "not comparable", reason, (yield _Whose(named)))
    try:
        alike = yield from _alike(name, now)
    except (OSError, FileChangedError) as exc:
        reason = getattr(exc, "strerror", None) or "it is being written"
        return Identity(name, "not comparable", reason, (yield _Whose(here)))
    if alike:
        touched = [version for version in alike if version.path == now.path]
        state: State = "same content" if touched else "copy"
        return Identity(name, state, "", (yield _Whose(touched or alike)))
    if here:
        return Identity(name, "changed", _difference(here[0], now), (yield _Whose(here)))
    return Identity(name, "unknown", (yield from _why_unknown(now)))


def _version(name: str) -> FileVersion | str:
    """Return the version of what is there now, or why there is none."""
    found = version_of(Directory(name) if os.path.isdir(name) else File(name))  # noqa: PTH112
    return found if isinstance(found, FileVersion) else found.reason


def _same(of_path: str, now: FileVersion) -> _Search:
    """Ask for versions of this path that are what is there by size and time.

    The store is not compared: a node's own disk has another name after each boot.
    """
    at = date_time(now.mtime_ns, digits=9)
    only = f'FILTER(?size = {now.size} && ?modified = "{at}"^^xsd:dateTime)'
    return _Search(of_path, only)


def _alike(name: str, now: FileVersion) -> Generator[_Search, list[Version], list[Version]]:
    """Return the versions that hold the same; it is read only if one of its size has a digest."""
    only = f"{_DIRECTORY if now.version else _FILE} FILTER(BOUND(?digest))"
    if not (yield _Search(f"sprov:size {now.size}", only, most=1)):
        return []
    digest = string(f"blake2b:{_read(name, now)}")
    return (yield _Search(f"prov:specializationOf/sprov:digest {digest}", only))


def _why_unknown(now: FileVersion) -> Generator[_Search, list[Version], str]:
    reason = "no record speaks of its path or of what it holds"
    if now.size < MIN_CONTENT_BYTES:
        return f"{reason}; files under {MIN_CONTENT_BYTES:,} bytes are known by their path alone"
    undigested = yield _Search(f"sprov:size {now.size}", "FILTER(!BOUND(?digest))")
    if undigested:
        return f"{reason}; {len(undigested):,} of its size were recorded without a digest"
    return reason


def versions(engine: Engine, which: str, only: str = "", most: int | None = None) -> list[Version]:
    """Return recorded versions, the newest first.

    Args:
        which, only: What they have, and a filter, as SPARQL.
    """
    return _search(engine, [_Search(which, only, most)])[0]


def _search(engine: Engine, searches: Sequence[_Search]) -> list[list[Version]]:
    """Return what each search finds."""
    found: list[list[Version]] = [[] for _ in searches]
    for start in range(0, len(searches), AT_ONCE):
        parts = [
            _VERSIONS.format(number=number, which=which, only=only, most=most or MAX_VERSIONS)
            for number, (which, only, most) in enumerate(searches[start : start + AT_ONCE], start)
        ]
        query = f"SELECT * {{ {{ {'} UNION {'.join(parts)} }} }}" if len(parts) > 1 else parts[0]
        for row in engine.select(query):
            found[int(row["number"])].append(
                Version(
                    row["file"], row["path"], int(row["size"]), row["modified"],
                    row.get("digest"), version=row.get("version", ""),
                )
            )  # fmt: skip
    return found


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
    return _tell_whose(engine, [found])[0]


def _tell_whose(engine: Engine, asked: Sequence[Sequence[Version]]) -> list[list[Version]]:
    """Do as `tell_whose` for each of several."""
    told = [list(found[:MAX_TOLD]) for found in asked]
    iris = list({version.id: None for found in told for version in found})
    whose: dict[str, dict[str, str]] = {}
    for start in range(0, len(iris), FILES_AT_ONCE):
        some = iris[start : start + FILES_AT_ONCE]
        values = " ".join(f"<{checked_iri(iri)}>" for iri in some)
        for row in engine.select(_TOUCHED.format(files=values)):
            whose.setdefault(row["file"], row)
    return [_in_order(found, whose) for found in told]


def _in_order(told: list[Version], whose: dict[str, dict[str, str]]) -> list[Version]:
    for version in told:
        if version.id in whose:
            row = whose[version.id]
            version.how, version.run, version.at = row["how"], row["run"], row["at"]
            version.plan, version.job = row.get("plan"), row.get("job")
    by_time = sorted(told, key=lambda version: sortable(version.at or ""), reverse=True)
    return sorted(by_time, key=lambda version: version.how != "made")
