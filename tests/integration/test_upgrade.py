"""What earlier versions wrote opens for ever; what a newer one wrote is refused, and left alone."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from harness import TRANSFORMATIONS, Site

from pllib import log

DATA = Path(__file__).parents[1] / "data"
FORMATS = sorted(path.name for path in DATA.glob("format-*"))
QUERIES = {
    "triples": "SELECT (COUNT(*) AS ?n) { ?s ?p ?o }",
    "transformations": "SELECT (COUNT(*) AS ?n) { ?a a provml:DataTransformationExecution }",
    "accuracies": "SELECT ?v { ?e a provml:ModelEvaluation ; prov:value ?v } ORDER BY ?v",
}
NODE = {"SLURMD_NODENAME": "node1"}
"""The node that the spool's owner was on, before it was started anew."""
VERSION = struct.Struct("<H")


class Earlier:
    """A copy of what an earlier version wrote, and what it answered."""

    def __init__(self, site: Site, name: str) -> None:
        self.site = site
        self.root = site.project.root
        shutil.rmtree(self.root)
        shutil.copytree(DATA / name / "project", self.root, symlinks=True)
        self.told: dict[str, Any] = json.loads((DATA / name / "answers.json").read_text())

    def answers(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            name: self.site.sprov("query", query, "--format", "csv")
            for name, query in QUERIES.items()
        }
        n_columns = self.told["metrics"].partition("\n")[0].count(",") + 1
        lines = self.site.sprov("metrics", "@last", "--csv").splitlines()
        earlier = [",".join(line.split(",")[:n_columns]) for line in lines]  # more may come after
        found["metrics"] = "".join(f"{line}\n" for line in earlier)
        return found

    def ingest(self) -> None:
        self.site.sprov("ingest", **NODE)


@pytest.fixture(params=FORMATS)
def earlier(site: Site, request: pytest.FixtureRequest) -> Earlier:
    return Earlier(site, request.param)


def contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_store_answers_as_it_did(earlier: Earlier):
    before = contents(earlier.root)
    assert earlier.answers() == {name: earlier.told[name] for name in (*QUERIES, "metrics")}
    associated = "ASK { ?a a provml:TrainingExecution ; prov:wasAssociatedWith ?who }"
    answers = [earlier.site.sprov("query", *way, associated) for way in ([], ["--inferred"])]
    assert [answer.strip() for answer in answers] == ["no", "yes"]
    assert contents(earlier.root) == before


def test_logs_of_all_kinds_can_be_shown(earlier: Earlier):
    for path in (*earlier.root.glob("journal/*/*.log"), *earlier.root.glob("spool/*")):
        shown = earlier.site.sprov("log", "show", str(path))
        assert "Context(run=" in shown
        assert "Started(" in shown
    assert len(list(earlier.root.glob("journal/*/*.log"))) == 2
    assert {path.suffix for path in earlier.root.glob("spool/*")} == {".spool", ".log"}


def test_what_waits_is_taken_in_and_after_a_rebuild_all_agrees(earlier: Earlier):
    """Facts are things of the graph now, which a store made before has not."""
    earlier.ingest()
    assert earlier.site.count(TRANSFORMATIONS) == 40 + 7 + 5
    found = json.loads(earlier.site.attempt("verify", "--format", "json").stdout)
    assert (found["lost"], found["skipped"], found["agree"]) == (0, 0, False)
    assert found["triples_missing"] > 0
    assert "Run `sprov rebuild`" in earlier.site.attempt("verify").stdout
    earlier.site.sprov("rebuild")
    found = earlier.site.verify()
    told = earlier.told["verify"]
    assert found["sessions"] == told["sessions"] + 2
    assert found["sessions_not_ended"] == 1
    assert found["points"] == 2
    assert not list(earlier.root.glob("spool/*"))


def test_indexes_made_again_answer_the_same(earlier: Earlier):
    earlier.site.sprov("rebuild")
    told = earlier.told
    found = earlier.answers()
    for name in ("transformations", "accuracies", "metrics"):
        assert found[name] == told[name]
    earlier.ingest()
    earlier.site.verify()


def test_an_archive_of_an_earlier_journal_is_as_good(earlier: Earlier):
    earlier.ingest()
    earlier.site.sprov("rebuild")
    before = earlier.site.verify()
    earlier.site.sprov("gc", "--archive", "ingest")
    earlier.site.sprov("rebuild")
    after = earlier.site.verify()
    assert after == {**before, "archived": 1}


def newer_log(root: Path) -> Path:
    """Make a log of the next version of the format."""
    (path,) = root.glob("spool/*.log")
    data = bytearray(path.read_bytes())
    for at in (0, log.HEADER_BYTES // 2):
        if data[at:].startswith(log.FILE_MAGIC):
            VERSION.pack_into(data, at + len(log.FILE_MAGIC), log.FORMAT_VERSION + 1)
    path.write_bytes(data)
    return path


def test_a_log_of_a_newer_format_is_refused_and_left_alone(earlier: Earlier):
    path = newer_log(earlier.root)
    before = path.read_bytes()
    for arguments in (("log", "show"), ("ingest",)):
        said = earlier.site.sprov(*arguments, str(path), status=3)
        assert len(said.splitlines()) == 1
        assert f"format version {log.FORMAT_VERSION + 1}, this sprov reads 1" in said
        assert "Upgrade sprov" in said
    assert path.read_bytes() == before


def test_a_log_of_a_newer_format_does_not_keep_others_from_being_taken_in(earlier: Earlier):
    path = newer_log(earlier.root)
    assert "Upgrade sprov" in earlier.site.sprov("ingest", status=3, **NODE)
    assert path.exists()
    assert earlier.site.count(TRANSFORMATIONS) == 40 + 5


@pytest.mark.parametrize("command", ["ingest", "rebuild", "verify", "runs", "gc", "serve", "init"])
def test_a_project_of_a_newer_format_is_refused_and_left_alone(earlier: Earlier, command: str):
    (earlier.root / "format").write_text("2\n")
    before = contents(earlier.root)
    said = earlier.site.sprov(command, status=2)
    assert len(said.splitlines()) == 1
    assert "project format '2', this sprov knows 1. Upgrade sprov" in said
    assert contents(earlier.root) == before


def test_a_command_runs_in_a_project_of_a_newer_format(earlier: Earlier):
    """Its log says its own version, so the newer sprov takes it in."""
    version = earlier.root / "format"
    ours = version.read_text() if version.exists() else None
    version.write_text("2\n")
    before = set(earlier.root.glob("spool/*.log"))
    earlier.site.sprov("run", "--", "touch", "ran")
    assert (earlier.site.folder / "ran").exists()
    assert version.read_text() == "2\n"
    (path,) = set(earlier.root.glob("spool/*.log")) - before
    with log.LogReader(path) as reader:
        assert any(reader.frames())
    version.unlink() if ours is None else version.write_text(ours)
    n_before = len(json.loads(earlier.site.sprov("runs", "--format", "json")))
    earlier.site.sprov("ingest", str(path))
    assert len(json.loads(earlier.site.sprov("runs", "--format", "json"))) == n_before + 1
