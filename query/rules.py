"""What follows from a run's graph and is not stored, for export and for SHACL.

The rules are those of `manager.store.inference`, by which queries may ask for the same.
"""

from __future__ import annotations

import pyoxigraph as ox

from manager.store.inference import infer


def completed(ntriples: bytes) -> bytes:
    """Return N-Triples with what follows from them; doing so twice adds nothing."""
    store = ox.Store()
    store.bulk_load(input=ntriples, format=ox.RdfFormat.N_TRIPLES)
    infer(store)
    return store.dump(format=ox.RdfFormat.N_TRIPLES, from_graph=ox.DefaultGraph()) or b""
