"""The wall clock is set while a program runs: nothing lasts a negative time, and it is told."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from disks import missing_compiler
from harness import Site, lack

from pllib.moments import nanoseconds

SHIM = Path(__file__).with_name("shim") / "clock.c"
HOUR_S = 3600


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if reason := missing_compiler():
        lack(reason)
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    command = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-o", str(library), str(SHIM)]
    subprocess.run([*command, "-ldl"], check=True)
    return library


@pytest.mark.parametrize("seconds", [-HOUR_S, HOUR_S], ids=["back", "ahead"])
def test_times_go_on_by_the_monotonic_clock_and_the_step_is_told(
    site: Site, clock: Path, seconds: int
) -> None:
    said = site.run(
        "clock_set.py", str(seconds), LD_PRELOAD=str(clock), SPROV_MODE="offline",
        SHIM_CLOCK=str(site.folder / "clock"),
    )  # fmt: skip
    which = "back" if seconds < 0 else "ahead"
    assert f"the clock was set {which} by 3600.0 s" in said
    site.sprov("ingest")

    rows = site.select("""SELECT ?kind ?start ?end {
        ?a prov:startedAtTime ?start ; prov:endedAtTime ?end ;
        prov:qualifiedAssociation/prov:hadPlan/sprov:kind ?kind } ORDER BY ?start""")
    spans = [(row["kind"], nanoseconds(row["start"]), nanoseconds(row["end"])) for row in rows]
    assert len(spans) == 1 + 1 + 2 + 2
    assert all(0 <= end - start < HOUR_S * 10**9 / 2 for _, start, end in spans)
    first, second = [span for span in spans if span[0] == "epoch"]
    assert first[2] <= second[1]
    _, began, ended = max(spans, key=lambda span: span[2] - span[1])
    assert all(began <= start and end <= ended for _, start, end in spans)

    points = site.sprov("metrics", "@last", "loss", "--csv").splitlines()[1:]
    times = [int(line.split(",")[3]) for line in points]
    assert began < times[0] < times[1] < ended
    facts = json.loads(site.sprov("show", "@last", "--format", "json"))["facts"]
    assert f"set {which} by 3600.0 s to " in facts["clock_step_rank_0"]
    assert "3600.0 s" in site.sprov("show", "@last")
