"""Answer one SPARQL query on one store, in a format that SPARQL 1.1 names."""

from __future__ import annotations

from typing import IO, cast

import pyoxigraph as ox

from pllib.errors import QueryError

from .guard import check_query
from .replying import Reply
from .snapshots import query_prefixes
from .xmltext import XmlText

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


def answer(store: ox.Store, query: str, formats: list[str], reply: Reply) -> None:
    """Answer a query, row by row as they are found.

    Args:
        formats: Names of `RESULTS` and `GRAPHS`, preferred first; the first that suits the form
            of the query is used, else JSON or Turtle.

    Raises:
        QueryError: The query is wrong, refused, or its answer too large.
    """
    check_query(query)
    try:
        result = store.query(query, prefixes=query_prefixes())
        if isinstance(result, ox.QueryTriples):
            graph, media = GRAPHS[next((name for name in formats if name in GRAPHS), "turtle")]
            reply.begin(media)
            result.serialize(_sink(reply, media), format=graph)
        else:
            table, media = RESULTS[next((name for name in formats if name in RESULTS), "json")]
            reply.begin(media)
            result.serialize(_sink(reply, media), format=table)
    except BrokenPipeError:  # nobody reads it any more
        raise
    except SyntaxError as exc:  # what pyoxigraph raises for a query that is wrong
        raise QueryError(f"the query is wrong: {exc}") from None
    except (OSError, RuntimeError, ValueError) as exc:
        raise QueryError(f"the query failed: {exc}") from None


def _sink(reply: Reply, media: str) -> IO[bytes]:
    return cast(IO[bytes], XmlText(reply) if media.endswith("+xml") else reply)


def select(store: ox.Store, query: str) -> list[dict[str, str]]:
    """Return the rows of a SELECT query of our own: variable to text of its value."""
    result = store.query(query, prefixes=query_prefixes())
    assert isinstance(result, ox.QuerySolutions)
    names = [variable.value for variable in result.variables]
    return [{name: row[name].value for name in names if row[name] is not None} for row in result]
