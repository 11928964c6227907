"""What a tracker acknowledged is stored, whatever stands beside it."""

from __future__ import annotations

import os

import pyoxigraph as ox
from acknowledged import send
from harness import Site

from manager.store.snapshots import open_snapshot
from sprov.indexing import open_writer
from sprov.verify import check

SEED = int(os.environ.get("SPROV_TEST_SEED", "11"))
N_LOGS = int(os.environ.get("SPROV_TEST_LOGS", "6"))
VALUES = "SELECT ?value { ?entity <http://www.w3.org/ns/prov#value> ?value }"
EXPECTED = ("can't be stored", "captured")
"""Words of problems that wrong records make: counted by reason, or a wrong word of a log's end."""


def test_of_frames_that_were_acknowledged_no_good_record_is_missing(site: Site):
    """And a batch says of its records what several would: `verify` links each frame alone."""
    print(f"SPROV_TEST_SEED={SEED}")
    project = site.project
    with open_writer(project.store, project.series, project.snapshots) as writer:
        values, n_points = send(project.journal / "local", writer, SEED, N_LOGS)
    rows = open_snapshot(project.snapshots).query(VALUES)
    assert isinstance(rows, ox.QuerySolutions)
    stored = {row["value"].value for row in rows}
    assert len(values) > 20 * N_LOGS
    assert values - stored == set()
    found = check(project)
    assert found["triples_missing"] == 0
    assert found["points"] >= n_points
    others = [line for line in found["problems"] if not any(word in line for word in EXPECTED)]
    assert others == []
