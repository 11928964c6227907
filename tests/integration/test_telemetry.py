"""What a process and its node used, against what real programs say that they used."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import TIMEOUT_S, Site, wait_until

from pllib.gpu import DRIVER, find_gpus

OFTEN = {"SPROV_TELEMETRY_S": "0.05"}
NODE = "node_memory_used"
TICK_S = 0.01
BATCHED_MIB = 1
"""That the kernel (6.2 or newer) may be off by, as each processor counts pages by itself."""


def options(name: str, **other: Any) -> str:
    return json.dumps({"name": name, "mib": 0, "cpu_s": 0.0, "file_mib": 0, **other})


def diary(site: Site, name: str, rank: int = 0) -> dict[str, Any]:
    return dict(json.loads((site.folder / f"{name}-{rank}.json").read_text()))


def points(site: Site, run: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(site.sprov("metrics", run, "--csv"))))


def values(of: list[dict[str, str]], name: str, rank: int = 0) -> list[float]:
    return [float(p["value"]) for p in of if p["name"] == name and p["rank"] == str(rank)]


@pytest.fixture
def used(site: Site) -> Site:
    site.run("telemetry.py", options("one", mib=200, cpu_s=0.5, file_mib=20), **OFTEN)
    site.sprov("ingest")
    return site


def test_series_are_what_the_program_did(used: Site):
    told, found = diary(used, "one"), points(used, "one")
    assert told["lost"] == {}
    held, most = (told[name] / (1 << 20) for name in ("held", "max_rss_bytes"))
    assert held <= max(values(found, "rss_memory")) <= most + BATCHED_MIB
    written = values(found, "written_bytes")
    assert 20 << 20 <= written[-1] <= told["moved"][1]
    assert written == sorted(written)
    assert values(found, "processes") == [1.0] * len(written)
    cpu_s = values(found, "cpu_seconds")[-1]
    assert told["used_cpu_s"] - 2 * TICK_S <= cpu_s <= told["cpu_s"] + 2 * TICK_S
    assert 0 < max(values(found, "cpu")) <= os.cpu_count() + 1


def test_series_have_units_and_a_node_has_what_it_has(used: Site):
    rows = used.select(
        "SELECT ?name ?unit { ?s a sprov:Series ; rdfs:label ?name ; sprov:unit ?unit }"
    )
    units = {row["name"]: row["unit"] for row in rows}
    assert {name: units[name] for name in ("cpu", "rss_memory", "read_bytes", "threads")} == {
        "cpu": "cores", "rss_memory": "MiB", "read_bytes": "B", "threads": "1",
    }  # fmt: skip
    found = points(used, "one")
    whole = Path("/proc/meminfo").read_text().split()[1]
    assert 0 < max(values(found, NODE)) < int(whole) / 1024
    assert max(values(found, "node_cpu")) > 0
    grown = {name: values(found, name) for name in units if "bytes" in name}
    assert grown["read_bytes"] and grown["written_bytes"]
    assert all(amounts[0] == 0 for amounts in grown.values() if amounts)


def test_a_stage_says_what_it_used(used: Site):
    told = diary(used, "one")
    rows = used.select(
        """SELECT ?kind ?cpu ?most ?read ?written {
             ?a prov:qualifiedAssociation/prov:hadPlan/sprov:kind ?kind ; sprov:cpuSeconds ?cpu ;
                sprov:maxRssBytes ?most ; sprov:readBytes ?read ; sprov:writtenBytes ?written }"""
    )
    found = {row["kind"]: {k: float(v) for k, v in row.items() if k != "kind"} for row in rows}
    assert set(found) == {"training", "evaluation", "workflow"}
    training, run = found["training"], found["workflow"]
    assert told["used_cpu_s"] <= training["cpu"] <= run["cpu"] <= told["cpu_s"] + TICK_S
    assert told["held"] <= training["most"] <= run["most"] <= told["max_rss_bytes"]
    assert 20 << 20 <= training["written"] <= run["written"] <= told["moved"][1]
    assert 0 <= found["evaluation"]["written"] < 20 << 20
    assert told["held"] <= found["evaluation"]["most"] <= told["max_rss_bytes"]


def test_it_is_off_unless_asked_for(site: Site):
    site.run("telemetry.py", options("off"))
    site.sprov("ingest")
    told = diary(site, "off")
    assert "sprov-telemetry" not in told["threads"]
    assert told["imported"] == []
    assert site.count("?s a sprov:Series") == 0
    assert site.count("?a sprov:maxRssBytes ?most ; a provml:TrainingExecution") == 1


def test_two_ranks_sample_themselves_and_one_the_node(site: Site):
    site.run("telemetry.py", options("two", mpi=True), ranks=2, **OFTEN)
    site.sprov("ingest")
    found = points(site, "two")
    assert {p["rank"] for p in found if p["name"] == "rss_memory"} == {"0", "1"}
    first, second = (values(found, NODE, rank) for rank in (0, 1))
    assert first or second
    held = {rank: [p for p in found if p["name"] == NODE and p["rank"] == rank] for rank in "01"}
    spans = sorted((int(ps[0]["at_ns"]), int(ps[-1]["at_ns"])) for ps in held.values() if ps)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(spans)), "both at a time"


@pytest.fixture
def job(served: Site) -> Iterator[dict[str, str]]:
    """The environment of a job that no other test is in; afterwards its programs may end."""
    yield {**OFTEN, "SLURM_JOB_ID": f"{os.getpid()}{os.times().elapsed:.0f}"}
    (served.folder / "enough").touch()


def holders(site: Site) -> set[str]:
    """Return the pids of those that sampled the node."""
    found = site.select(
        f"SELECT ?pid {{ ?s a sprov:Series ; rdfs:label '{NODE}' ; "
        "prov:wasAttributedTo/sprov:pid ?pid }"
    )
    return {row["pid"] for row in found}


def test_another_samples_the_node_when_the_first_is_killed(served: Site, job: dict[str, str]):
    """Its forked child lives on, with copies of its descriptors: that is no vote."""
    how = {"until": str(served.folder / "enough")}
    first = served.start("telemetry.py", options("first", child=True, **how), **job)
    told = served.folder / "first-0.pids"
    pid, child = json.loads(wait_until(lambda: told.exists() and told.read_text()))
    wait_until(lambda: holders(served) == {str(pid)})
    second = served.start("telemetry.py", options("second", **how), **job)
    told = served.folder / "second-0.pids"
    (other,) = json.loads(wait_until(lambda: told.exists() and told.read_text()))
    series = "?s a sprov:Series ; rdfs:label 'rss_memory' ; prov:wasAttributedTo/sprov:pid"
    wait_until(lambda: served.count(f"{series} {other}"))
    assert holders(served) == {str(pid)}
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: holders(served) == {str(pid), str(other)})
    assert Path(f"/proc/{child}").exists()
    how_it_was = first.wait(), second.poll()
    assert how_it_was == (-signal.SIGKILL, None)


def opened(pid: int) -> list[str]:
    """Return what the descriptors of a process lead to."""
    folder = Path(f"/proc/{pid}/fd")
    return [os.readlink(fd) for fd in folder.iterdir()]  # noqa: PTH115


def test_a_forked_child_samples_nothing_and_the_parent_goes_on(site: Site):
    enough = site.folder / "enough"
    program = site.start("telemetry.py", options("fork", child=True, until=str(enough)), **OFTEN)
    told = site.folder / "fork-0.pids"
    _, child = json.loads(wait_until(lambda: told.exists() and told.read_text()))
    assert os.listdir(f"/proc/{child}/task") == [str(child)]  # noqa: PTH208
    wait_until(lambda: not any("seat-" in name for name in opened(child)))
    enough.touch()
    _, errors = program.communicate(timeout=TIMEOUT_S)
    assert program.returncode == 0, errors
    site.sprov("ingest")
    assert diary(site, "fork")["lost"] == {}


def test_without_a_driver_there_are_no_gpus(tmp_path: Path):
    assert find_gpus(str(tmp_path / "none")) == []


@pytest.mark.skipif(not Path(DRIVER).exists(), reason="hardware: there is no NVIDIA GPU here")
def test_gpus_say_what_they_use(site: Site):
    site.run("telemetry.py", options("gpu", cpu_s=0.5), **OFTEN)
    site.sprov("ingest")
    found = points(site, "gpu")
    assert max(values(found, "gpu0_memory")) > 0
    assert all(0 <= percent <= 100 for percent in values(found, "gpu0_utilisation"))
    joules = values(found, "gpu0_energy")
    assert joules == sorted(joules)
    assert values(found, "energy")[-1] >= joules[-1]
