"""What the store has of the things that an import speaks of."""

from __future__ import annotations

from collections.abc import Iterable

import pyoxigraph as ox

from pllib.project import Project
from query.engine import find_engine
from query.export.associations import split
from query.export.graph import iri
from query.membership import describe
from query.rules import completed

from .statements import Statement

_TYPE = ox.NamedNode(iri("rdf:type"))
_QUALIFIED_ASSOCIATION = ox.NamedNode(iri("prov:qualifiedAssociation"))


class Present:
    """Triples of the store about some things, in Oxigraph's canonical forms.

    Also those of associations as `sprov export` tells them apart.
    """

    def __init__(self, project: Project, iris: set[str]) -> None:
        """Ask the store, with all that a running tracker has journalled.

        Raises:
            UnavailableError: The daemons are behind.
        """
        self._store = ox.Store()
        self._whole: ox.Store | None = None
        engine = find_engine(project, timeout_s=120.0)
        engine.flush()
        if engine.live or (project.snapshots / "current").exists():
            stored = list(describe(engine, sorted(iris)))
            self._load(stored)
            stored += describe(engine, sorted(self._associations() - iris))
            self._load(stored)
            self._load(split(stored))

    def _load(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self._store.bulk_load(input=piece, format=ox.RdfFormat.N_TRIPLES)

    def _associations(self) -> set[str]:
        found = self._store.quads_for_pattern(None, _QUALIFIED_ASSOCIATION, None)
        return {quad.object.value for quad in found if isinstance(quad.object, ox.NamedNode)}

    def knows(self, iri: str) -> bool:
        """Tell whether the store says anything of a thing."""
        found = self._store.quads_for_pattern(ox.NamedNode(iri), None, None)
        return next(found, None) is not None

    def types(self, iri: str) -> set[str]:
        found = self._store.quads_for_pattern(ox.NamedNode(iri), _TYPE, None)
        return {quad.object.value for quad in found if isinstance(quad.object, ox.NamedNode)}

    def says(self, statement: Statement) -> bool:
        """Tell whether the store has a statement, or others that it follows from by rule."""
        quad = statement.quad
        return quad in self._store or quad in self._completed()

    def _completed(self) -> ox.Store:
        if self._whole is None:
            self._whole = ox.Store()
            stored = self._store.dump(format=ox.RdfFormat.N_TRIPLES, from_graph=ox.DefaultGraph())
            self._whole.bulk_load(input=completed(stored or b""), format=ox.RdfFormat.N_TRIPLES)
        return self._whole
