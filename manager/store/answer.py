"""Answer one SPARQL query on one store, in a format that SPARQL 1.1 names."""

from __future__ import annotations

import io

import pyoxigraph as ox

from pllib.errors import QueryError

from .guard import check_query
from .snapshots import query_prefixes

RESULTS = {
    "json": (ox.QueryResultsFormat.JSON, "application/sparql-results+json"),
    "xml": (ox.QueryResultsFormat.XML, "application/sparql-results+xml"),
    "csv": (ox.QueryResultsFormat.CSV, "text/csv"),
    "tsv": (ox.QueryResultsFormat.TSV, "text/tab-separated-values"),
}
GRAPHS = {
    "turtle": (ox.RdfFormat.TURTLE, "text/turtle"),
    "ntriples": (ox.RdfFormat.N_TRIPLES, "application/n-triples"),
    "rdfxml": (ox.RdfFormat.RDF_XML, "application/rdf+xml"),
}
MAX_ANSWER_BYTES = 256 << 20


class _Limited(io.BytesIO):
    def write(self, data: object) -> int:
        if self.tell() > MAX_ANSWER_BYTES:
            raise QueryError("the answer is over 256 MiB", "Use LIMIT, or aggregate")
        return super().write(data)  # type: ignore[arg-type]


def answer(store: ox.Store, query: str, formats: list[str]) -> tuple[str, bytes]:
    """Answer a query.

    Args:
        formats: Names of `RESULTS` and `GRAPHS`, preferred first; the first that suits the form
            of the query is used, else JSON or Turtle.

    Returns:
        The media type and the serialised answer.

    Raises:
        QueryError: The query is wrong, refused, or its answer too large.
    """
    check_query(query)
    output = _Limited()
    try:
        result = store.query(query, prefixes=query_prefixes())
        if isinstance(result, ox.QueryTriples):
            graph = next((name for name in formats if name in GRAPHS), "turtle")
            result.serialize(output, format=GRAPHS[graph][0])
            return GRAPHS[graph][1], output.getvalue()
        table = next((name for name in formats if name in RESULTS), "json")
        result.serialize(output, format=RESULTS[table][0])
        return RESULTS[table][1], output.getvalue()
    except SyntaxError as exc:  # what pyoxigraph raises for a query that is wrong
        raise QueryError(f"the query is wrong: {exc}") from None
    except (OSError, RuntimeError, ValueError) as exc:
        raise QueryError(f"the query failed: {exc}") from None


def select(store: ox.Store, query: str) -> list[dict[str, str]]:
    """Return the rows of a SELECT query of our own: variable to text of its value."""
    result = store.query(query, prefixes=query_prefixes())
    assert isinstance(result, ox.QuerySolutions)
    names = [variable.value for variable in result.variables]
    return [{name: row[name].value for name in names if row[name] is not None} for row in result]
