"""What IRIs of the vocabulary and of the graph lead to: ``/ontology/`` and ``/id/``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import FastAPI, Path, Request, Response

from pllib.identity import iri

from . import ontology
from .store.answer import RESULTS

OPEN_PATHS = tuple(f"/ontology/{name}" for name in ontology.NAMES)
"""Readable without a token: they are the same everywhere."""

Answer = Callable[[str, list[str]], Response]
"""Answers SPARQL in the first of these formats that suits it."""
NAMES = f"^({'|'.join(ontology.NAMES)})$"


def add_resources(app: FastAPI, answer: Answer, accepted: Callable[[Request], list[str]]) -> None:
    @app.get("/ontology/{name}")
    async def read_ontology(name: Annotated[str, Path(pattern=NAMES)]) -> Response:
        """Give PROV-ML, sprov's own terms, the shapes or the alignments, as Turtle."""
        return Response(ontology.turtle(name), media_type="text/turtle")

    @app.get("/id/{kind}/{identity}")
    async def describe(
        request: Request,
        kind: Annotated[str, Path(pattern="^[a-z_]{1,40}$")],
        identity: Annotated[str, Path(pattern="^[0-9a-f]{32}$")],
    ) -> Response:
        """Give all that is said of one thing: Turtle or N-Triples, or a table as JSON."""
        thing, formats = f"<{iri(kind, identity)}>", accepted(request)
        if formats and formats[0] in RESULTS:
            return answer(f"SELECT ?p ?o {{ {thing} ?p ?o }}", formats)
        return answer(f"CONSTRUCT {{ {thing} ?p ?o }} {{ {thing} ?p ?o }}", formats)
