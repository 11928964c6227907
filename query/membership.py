"""The graph of one run: every triple that is about it, and nothing of other runs.

A run has its attempts, executions and collectives (``provml:isPartOf+``), what is of it
(``sprov:run``: agents, series, logs), what its executions generated, what of its workflow was
declared, and what Slurm says of its job and step.  What any of these links to is described with it:
plans, attributes, files, data sets, users, hosts, jobs.  Each subject is described once and whole,
but for

* generations and derivations of shared entities by other runs, which are those runs' graphs;
* `CONTROL` terms, which say how the store keeps a run and not what the run was.

A run that it resumed is named, not described.

Queries are cut to chunks, since an answer has limits (`pllib.settings.Querying`) and a query
200,000 characters at most (`manager.store.guard`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from manager.vocabulary import term
from pllib.errors import QueryError
from pllib.identity import ID_BASE

from .engine import Engine

CONTROL = frozenset(
    term(f"sprov:{name}").encode()
    for name in ("watermark", "journal", "seriesFile", "supersededFile")
)
"""Predicates that no run's graph has."""

_GENERATED_BY = term("prov:wasGeneratedBy").encode()
_DERIVED_FROM = term("prov:wasDerivedFrom").encode()
_QUALIFIED_GENERATION = term("prov:qualifiedGeneration").encode()
_INFORMED_BY = term("prov:wasInformedBy").encode()
_TYPE = term("rdf:type").encode()
_OTHERS = tuple(f"<{ID_BASE}{kind}/".encode() for kind in ("run", "queue"))

_PARTS = "SELECT DISTINCT ?s {{ ?s provml:isPartOf+ {run} }}"
_OF_RUN = """
SELECT DISTINCT ?s {{ ?s sprov:run {run} FILTER NOT EXISTS {{ ?s sprov:watermark ?n }} }}
"""
_DECLARED = """
SELECT DISTINCT ?s {{ {run} sprov:workflow ?w . ?s provml:isPartOf+ ?w ; sprov:declared true }}
"""
_ACCOUNTED = """
SELECT DISTINCT ?s {{
  ?attempt provml:isPartOf {run} ; a sprov:Attempt ; provml:isPartOf ?inner .
  ?inner provml:isPartOf? ?unit . ?s sprov:accountOf ?unit
}}
"""

_DESCRIBED = "CONSTRUCT {{ ?s ?p ?o }} {{ VALUES ?s {{ {iris} }} ?s ?p ?o }}"
_MADE = "CONSTRUCT {{ ?s ?p ?o }} {{ VALUES ?a {{ {iris} }} ?s prov:wasGeneratedBy ?a . ?s ?p ?o }}"
_GENERATIONS = """
CONSTRUCT {{ ?e prov:qualifiedGeneration ?s . ?s ?p ?o }}
{{ VALUES ?a {{ {iris} }} ?s prov:activity ?a . ?e prov:qualifiedGeneration ?s . ?s ?p ?o }}
"""

CHUNK_CHARACTERS = 150_000
CHUNK_IRIS = 2_000


def run_graph(engine: Engine, run_iri: str) -> bytes:
    """Return the graph of a run as N-Triples, the same bytes for the same graph; empty for none.

    Raises:
        QueryError: Describing a single thing takes too long, or is over the limit of an answer.
    """
    return b"".join(stream_graph(engine, run_iri))


def stream_graph(engine: Engine, run_iri: str) -> Iterator[bytes]:
    """Yield the graph of a run as `run_graph` returns it, in pieces of whole lines."""
    walk = _Walk(engine, f"<{run_iri}>".encode())
    yield from walk.pieces()


def describe(engine: Engine, iris: Iterable[str]) -> Iterator[bytes]:
    """Yield all that a store says of things, as N-Triples in pieces of whole lines.

    Raises:
        QueryError: Describing a single thing takes too long, or is over the limit of an answer.
    """
    for chunk in _chunks([f"<{iri}>".encode() for iri in iris]):
        yield _join(_construct(engine, _DESCRIBED, chunk))


class _Walk:
    """From a run outwards; IRIs are in angle brackets, as bytes."""

    def __init__(self, engine: Engine, run: bytes) -> None:
        self._engine = engine
        self._run = run
        self._parts = self._ask(_PARTS)
        self._described: set[bytes] = set()
        others = (self._ask(query) for query in (_OF_RUN, _DECLARED, _ACCOUNTED))
        self._found = {run, *self._parts}.union(*others)

    def _ask(self, query: str) -> set[bytes]:
        text = query.format(run=self._run.decode())
        _, body = self._engine.answer(text, ["tsv"])
        return {line for line in body.split(b"\n")[1:] if line.startswith(b"<")}

    def pieces(self) -> Iterator[bytes]:
        # What was made goes first: that it was made here decides what is said of it.
        for chunk in _chunks(sorted(self._parts)):
            yield self._piece(_construct(self._engine, _MADE, chunk), made=True)
            yield self._generations(_construct(self._engine, _GENERATIONS, chunk))
        while todo := sorted(self._found - self._described):
            for chunk in _chunks(todo):
                yield self._piece(_construct(self._engine, _DESCRIBED, chunk), made=False)
            self._described.update(todo)

    def _piece(self, lines: list[bytes], *, made: bool) -> bytes:
        """Keep what belongs to the run of these lines, and note what they link to."""
        kept = []
        subjects = set()
        for line in lines:
            subject, predicate, rest = line.split(b" ", 2)
            subjects.add(subject)
            if subject in self._described or not self._is_own(predicate, rest, made):
                continue
            kept.append(line)
            if rest.startswith(b"<") and predicate not in (_TYPE, _INFORMED_BY):
                self._note(rest[:-2])
        self._described.update(subjects)
        return _join(kept)

    def _is_own(self, predicate: bytes, rest: bytes, made: bool) -> bool:
        if predicate == _GENERATED_BY:
            return rest[:-2] in self._parts
        if predicate == _DERIVED_FROM:
            return made
        return predicate != _QUALIFIED_GENERATION and predicate not in CONTROL

    def _note(self, iri: bytes) -> None:
        if not iri.startswith(_OTHERS):
            self._found.add(iri)

    def _generations(self, lines: list[bytes]) -> bytes:
        for line in lines:
            subject, predicate, rest = line.split(b" ", 2)
            if predicate != _QUALIFIED_GENERATION:
                self._described.add(subject)
                if rest.startswith(b"<") and predicate != _TYPE:
                    self._note(rest[:-2])
        return _join(lines)


def _construct(engine: Engine, query: str, iris: list[bytes]) -> list[bytes]:
    """Return lines of an answer; too large or too slow a one is asked for in halves."""
    text = query.format(iris=b" ".join(iris).decode())
    try:
        _, body = engine.answer(text, ["ntriples"])
    except QueryError:
        if len(iris) == 1:
            raise
        middle = len(iris) // 2
        halves = iris[:middle], iris[middle:]
        return [line for half in halves for line in _construct(engine, query, half)]
    return body.split(b"\n")[:-1]


def _join(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in sorted(lines))


def _chunks(iris: list[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for iri in iris:
        if chunk and (len(chunk) == CHUNK_IRIS or size + len(iri) > CHUNK_CHARACTERS):
            yield chunk
            chunk, size = [], 0
        chunk.append(iri)
        size += len(iri) + 1
    if chunk:
        yield chunk
