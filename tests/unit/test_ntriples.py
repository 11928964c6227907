"""Text written as N-Triples reads back the same, in rdflib's parser and in Oxigraph's."""

from __future__ import annotations

import math

import pyoxigraph as ox
from hypothesis import given, settings
from hypothesis import strategies as st
from rdflib import Graph

from manager.ntriples import literal, string, timestamp
from tracker.literals import double

SUBJECT = "<https://example.org/s> <https://example.org/p>"
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@settings(max_examples=300, deadline=None)
@given(texts)
def test_any_text_survives_rdflibs_parser(text):
    graph = Graph().parse(data=f"{SUBJECT} {string(text)} .\n", format="nt")
    assert [str(found) for found in graph.objects()] == [text]


@settings(max_examples=300, deadline=None)
@given(texts)
def test_any_text_survives_oxigraphs_parser_as_one_triple(text):
    data = f"{SUBJECT} {string(text)} .\n".encode()
    quads = list(ox.parse(input=data, format=ox.RdfFormat.N_TRIPLES))
    assert [quad.object.value for quad in quads] == [text]


@given(st.floats())
def test_a_double_reads_back_to_the_same_number(value):
    store = ox.Store()
    line = f"{SUBJECT} {literal('double', double(value))} .\n".encode()
    store.bulk_load(input=line, format=ox.RdfFormat.N_TRIPLES)
    (quad,) = store
    found = float(quad.object.value.replace("INF", "inf"))
    assert found == value or (math.isnan(found) and math.isnan(value))


@given(st.integers(min_value=0, max_value=4_000_000_000_000_000_000))
def test_a_timestamp_keeps_its_microseconds(ns):
    store = ox.Store()
    line = f"{SUBJECT} {timestamp(ns)} .\n".encode()
    store.bulk_load(input=line, format=ox.RdfFormat.N_TRIPLES)
    (quad,) = store
    assert f'"{quad.object.value}"' == timestamp(ns).partition("^^")[0]
