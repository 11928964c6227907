"""What a run did is read by a number of queries that does not grow with what it did."""

from __future__ import annotations

from typing import Any

import pyoxigraph as ox

from manager.store.executions import Reader
from manager.store.walk import CHUNK
from manager.vocabulary import term
from pllib.identity import ID_BASE


class Counting:
    """A store that counts what it is asked."""

    def __init__(self, store: ox.Store) -> None:
        self.store = store
        self.n_queries = 0

    def query(self, text: str, **options: Any) -> object:
        self.n_queries += 1
        return self.store.query(text, **options)


def test_attributes_that_had_a_role_are_found_by_few_queries_and_each_once():
    attributes = [f"{ID_BASE}attribute/{number:032x}" for number in range(3 * CHUNK)]
    store = ox.Store()
    role = term("prov:hadRole")
    store.update(
        "INSERT DATA { "
        + " ".join(f"<x:q{n}> {role} <{attributes[n % 7]}> ." for n in range(500))
        + f" <x:q> {role} <{attributes[-1]}> , <x:no-attribute> . }}"
    )
    counting = Counting(store)
    read = Reader(counting, f"{ID_BASE}run/0")  # type: ignore[arg-type]
    before = counting.n_queries
    assert read.roles(attributes) == {*attributes[:7], attributes[-1]}
    assert counting.n_queries - before == 3
