"""What the lifecycle example's jobs left is valid PROV-ML."""

from __future__ import annotations

import json

from lifecycle import Lifecycle


def test_each_run_of_the_lifecycle_is_valid(lifecycle: Lifecycle):
    site = lifecycle.site
    runs = json.loads(site.sprov("runs", "--format", "json", "--live"))
    assert len(runs) == 5
    for run in runs:
        found = json.loads(site.sprov("verify", "--shapes", run["run"], "--format", "json"))
        assert found["problems"] == []
