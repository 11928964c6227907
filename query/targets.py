"""What a user means that the lineage is asked of: a file in hand, a name, a result, an IRI."""

from __future__ import annotations

import os
from typing import NamedTuple

from pllib.errors import Error, QueryError

from .engine import Engine
from .files import Identity, Version, identify, tell_whose, versions
from .runs import find_run
from .terms import string

_DATA_SETS = """
SELECT ?file WHERE {{
  VALUES ?class {{ provml:LearningDataSetReference provml:FeatureSetData }}
  ?file rdfs:label {name} ; a ?class OPTIONAL {{ ?file sprov:version ?version }}
}} ORDER BY DESC(?version) ?file
"""

_REFERENCES = """
SELECT ?file ?path WHERE {{ ?file rdfs:label {name} ; sprov:path ?path }} ORDER BY ?file
"""

_OF_RUN = """
SELECT ?e ?at WHERE {{
  ?agent sprov:run <{run}> . ?q prov:agent ?agent ; prov:hadPlan ?plan .
  ?attribute provml:isPartOf ?plan ; rdfs:label {name} ; sprov:direction "out" .
  ?a prov:qualifiedAssociation ?q ; prov:startedAtTime ?at .
  {{ ?e prov:wasGeneratedBy ?a ; provml:ofAttribute ?attribute }}
  UNION
  {{ ?g prov:activity ?a ; prov:hadRole ?attribute . ?e prov:qualifiedGeneration ?g }}
}} ORDER BY DESC(?at) DESC(?e) LIMIT 1
"""

MAX_LISTED = 10


class Target(NamedTuple):
    iri: str
    notes: tuple[str, ...] = ()
    """What to say of how it was chosen."""


def find_target(engine: Engine, text: str) -> Target:
    """Return what a user means.

    It may be an IRI; a file or directory that is there, which is told by what it is; the path of
    one that is not, or the end of it; a data set's name; ``RUN:attribute`` for what a run
    generated; or ``@last``.  Of several versions it is the newest, of several values the latest.

    Raises:
        Error: The file that is there was changed since, or is unknown.
        QueryError: No record speaks of it.
    """
    if text.startswith(("https://", "http://", "urn:")) and not _has_odd_characters(text):
        return Target(text)
    if os.path.lexists(text):
        return _in_hand(engine, text)
    found = _by_path(engine, text) or _data_set(engine, text) or _of_run(engine, text)
    if not found:
        raise QueryError(f"no record speaks of {text}", "`sprov show @last` lists a run's files")
    return found


def _in_hand(engine: Engine, text: str) -> Target:
    found = identify(engine, text)
    if found.is_known or (found.state == "not comparable" and found.versions):
        return Target(found.versions[0].id, tuple(_said(found)))
    if found.state == "unknown":
        other = _data_set(engine, text) or _of_run(engine, text)
        if other:
            return other
        name = os.path.basename(os.path.abspath(text))  # noqa: PTH100, PTH119
        namesakes = tell_whose(engine, versions(engine, f"rdfs:label {string(name)}"))
        elsewhere = [f"{v.path} ({v.whose})" for v in namesakes[:MAX_LISTED]]
        hint = f"Recorded files of that name: {', '.join(elsewhere)}" if elsewhere else ""
        raise Error(f"{text} is unknown: {found.reason}", hint)
    if not found.versions:
        raise Error(f"{text} can't be compared with what is recorded: {found.reason}")
    was = found.versions[0]
    raise Error(
        f"{text} was changed since it was recorded: {found.reason}",
        f"`sprov lineage {was.id}` answers for the version {was.whose}",
    )


def _said(found: Identity) -> list[str]:
    """Return what is to be said beside a lineage: whose version is answered for, if not plain."""
    chosen, *others = found.versions
    said = {
        "copy": [f"{found.file} is a copy of {chosen.path}, {chosen.whose}"],
        "same content": [f"{found.file} was touched since: it holds what it held when recorded"],
        "not comparable": [f"{found.file} may have changed since: {found.reason}"],
    }.get(found.state, [])
    return [*said, *_listed(chosen, others)]


def _listed(chosen: Version, others: list[Version]) -> list[str]:
    """Return lines of the versions that might be meant instead, if there are any."""
    if not others:
        return []
    lines = [f"answered for: {chosen.path}, {chosen.whose}"]
    lines += [f"another is <{v.id}>: {v.path}, {v.whose}" for v in others[:MAX_LISTED]]
    more = len(others) - MAX_LISTED
    return [*lines, f"and {more} more"] if more > 0 else lines


def _by_path(engine: Engine, text: str) -> Target | None:
    """Return the newest version of a file that is not there; others of its name are listed."""
    found = _named(engine, text)
    if not found:
        return _reference(engine, text)
    newest = {version.path: version for version in reversed(found)}
    chosen, *others = sorted(newest.values(), key=lambda v: v.modified, reverse=True)
    return Target(chosen.id, tuple(_listed(chosen, tell_whose(engine, others))))


def _named(engine: Engine, text: str) -> list[Version]:
    """Return versions of files of a path, else of those whose paths end so, the newest first."""
    plain = os.path.normpath(text)
    folder, _, name = os.path.abspath(text).rpartition("/")  # noqa: PTH100  it need not exist
    path = f"{os.path.realpath(folder or '/').rstrip('/')}/{name}"
    found = versions(engine, f"rdfs:label {string(name)}")
    exact = [version for version in found if version.path == path]
    if exact or plain.startswith("../"):
        return tell_whose(engine, exact)
    end = "/" + plain.lstrip("/")
    ending = [version for version in found if f"/{version.path.lstrip('/')}".endswith(end)]
    return tell_whose(engine, ending)


def _reference(engine: Engine, text: str) -> Target | None:
    """Return what has a path and no version by size and time, such as a record in a database."""
    rows = engine.select(_REFERENCES.format(name=string(text.rpartition("/")[2])))
    end = "/" + text.strip("/")
    ending = [row for row in rows if f"/{row['path'].lstrip('/')}".endswith(end)]
    return Target(ending[0]["file"]) if ending else None


def _data_set(engine: Engine, text: str) -> Target | None:
    rows = engine.select(_DATA_SETS.format(name=string(text)))
    return Target(rows[0]["file"]) if rows else None


def _of_run(engine: Engine, text: str) -> Target | None:
    run, colon, attribute = text.partition(":")
    if text != "@last" and not (run and colon and attribute):
        return None
    iri = str(find_run(engine, run)["run"])
    if not attribute:
        return Target(iri)
    rows = engine.select(_OF_RUN.format(run=iri, name=string(attribute)))
    if not rows:
        raise QueryError(f"{run} generated no {attribute}", f"`sprov show {run}` lists its results")
    return Target(rows[0]["e"])


def _has_odd_characters(text: str) -> bool:
    return any(char in '<>"{}|^`\\' or char <= " " for char in text)
