"""The graphs of runs: each whole, none with anything of another, together all that is stored."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import Site, fill_once

from query import membership
from query.engine import Engine
from query.membership import run_graph
from query.runs import list_runs

WRITER = """
from pathlib import Path
import pllib
with pllib.open(name="writer", experiment="e") as session:
    with session.transformation("write") as step:
        Path("shared.csv").write_text("1" * 2000)
        step.generated(data=pllib.File("shared.csv"), rows=1)
"""
READER = """
import pllib
with pllib.open(name="reader", experiment="e", resume_from="shared.csv") as session:
    for nth in range(5):
        with session.transformation("read", used={"data": pllib.File("shared.csv")}) as step:
            step.generated(sum=nth)
"""


@pytest.fixture
def engine(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    fill_once(site, tmp_path_factory.getbasetemp() / "membership", share)
    return Engine(site.project, None)


def share(site: Site) -> None:
    for name, text in (("writer.py", WRITER), ("reader.py", READER)):
        (site.folder / name).write_text(text)
        site.run(str(site.folder / name))
    site.run("interchange.py")
    site.sprov("ingest")


def graphs(engine: Engine) -> dict[str, set[bytes]]:
    """Return the lines of each run's graph, by the run's name or program."""
    return {
        run["name"] or run["program"]: set(run_graph(engine, run["run"]).splitlines())
        for run in list_runs(engine)
    }


def test_all_graphs_together_are_all_that_is_stored(engine: Engine):
    query = "CONSTRUCT { ?s ?p ?o } { ?s ?p ?o FILTER NOT EXISTS { ?s sprov:watermark ?n } }"
    _, everything = engine.answer(query, ["ntriples"])
    stored = {line for line in everything.splitlines() if b"#seriesFile>" not in line}
    assert len(stored) > 200
    assert set().union(*graphs(engine).values()) == stored


def test_no_graph_has_anything_of_another_run(engine: Engine):
    found = graphs(engine)
    subjects = {
        name: {line.split()[0] for line in lines if b"/id/activity/" in line.split()[0]}
        for name, lines in found.items()
    }
    assert [len(subjects[name]) for name in ("writer", "reader")] == [2, 6]
    assert not subjects["writer"] & subjects["reader"]
    for name, lines in found.items():
        others = set().union(*(own for other, own in subjects.items() if other != name))
        assert not any(line.split()[2] in others for line in lines)


def test_a_shared_file_is_described_in_both_and_made_in_one(engine: Engine):
    found = graphs(engine)
    made = {
        name: sum(b"#wasGeneratedBy>" in line and b"/id/file/" in line for line in lines)
        for name, lines in found.items()
    }
    assert (made["writer"], made["reader"]) == (1, 0)
    described = found["writer"] & found["reader"]
    assert any(b'"shared.csv"' in line for line in described)
    assert any(b"#specializationOf>" in line for line in described)


def test_the_bytes_are_the_same_each_time_and_however_it_is_cut(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    run = list_runs(engine)[-1]["run"]
    whole = run_graph(engine, run)
    assert whole == run_graph(engine, run)
    lines = whole.splitlines()
    assert len(set(lines)) == len(lines)
    monkeypatch.setattr(membership, "CHUNK_IRIS", 2)
    assert set(run_graph(engine, run).splitlines()) == set(lines)


def test_too_large_an_answer_is_asked_for_in_halves(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    run = list_runs(engine)[-1]["run"]
    whole = set(run_graph(engine, run).splitlines())
    monkeypatch.setenv("SPROV_QUERY_ANSWER_BYTES", "8000")
    assert set(run_graph(engine, run).splitlines()) == whole


def test_what_is_no_run_has_no_graph(engine: Engine, tmp_path: Path):
    assert run_graph(engine, "https://w3id.org/sprov/id/run/00") == b""
