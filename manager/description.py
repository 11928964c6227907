"""What ``/sparql`` is, for clients that ask it without a query.

Source: SPARQL 1.1 Service Description.
"""

from __future__ import annotations

from .store.answer import GRAPHS, RESULTS

_FORMATS = "http://www.w3.org/ns/formats/"
_NAMES = {
    "json": "SPARQL_Results_JSON", "xml": "SPARQL_Results_XML", "csv": "SPARQL_Results_CSV",
    "tsv": "SPARQL_Results_TSV", "turtle": "Turtle", "ntriples": "N-Triples", "rdfxml": "RDF_XML",
}  # fmt: skip
STORED = (
    "What is stored: types and prov:wasAssociatedWith of runs, attempts, ranks, stages, "
    "transformations, files and agents; one prov:Association for all executions of a plan by a "
    "rank. Plain values have prov:value and provml:ofAttribute, and no type or label."
)
INFERRED = (
    "What is stored and what follows from it: types and labels of plain values, superclasses, "
    "provml:executes, dcterms:isPartOf, and start and end of runs, attempts and collectives. "
    "The whole store is read into memory for each query."
)


def describe_service(endpoint: str) -> str:
    """Return the description of a SPARQL endpoint, as Turtle.

    Args:
        endpoint: Its IRI.
    """
    formats = " , ".join(f"<{_FORMATS}{_NAMES[name]}>" for name in (*RESULTS, *GRAPHS))
    parts = [
        "@prefix sd: <http://www.w3.org/ns/sparql-service-description#> .\n"
        "@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .\n"
    ]
    for suffix, comment in (("", STORED), ("?inferred=true", INFERRED)):
        parts.append(
            f"[] a sd:Service ; sd:endpoint <{endpoint}{suffix}> ;\n"
            "   sd:supportedLanguage sd:SPARQL11Query ;\n"
            f"   sd:resultFormat {formats} ;\n"
            "   sd:defaultDataset [ a sd:Dataset ; sd:defaultGraph [ a sd:Graph ;\n"
            f'      rdfs:comment "{comment}"@en ] ] .\n'
        )
    return "".join(parts)
