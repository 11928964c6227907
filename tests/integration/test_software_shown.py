"""With which software a run was made is shown, with versions; facts of each node are kept."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness import Site

from pllib.log import LogWriter, Owner, frame_of, new_header
from pllib.records import ROOT, Context, Facts, Signature, Started, encode

RUN = "cd" * 16
GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]


def shown(site: Site) -> dict[str, Any]:
    return dict(json.loads(site.sprov("show", "@last", "--format", "json")))


def asked(site: Site, name: str) -> dict[str, str]:
    rows = json.loads(site.sprov("ask", name, "--format", "json"))
    return {row["name"]: row["value"] for row in rows}


def test_interpreter_packages_command_and_code_are_shown(site: Site):
    program = site.folder / "program.py"
    program.write_text("print(1)\n")
    for words in (["init", "-q"], ["add", "program.py"], ["commit", "-qm", "first"]):
        subprocess.run([*GIT, *words], cwd=site.folder, check=True)
    program.write_text("print(2)\n")
    site.sprov("run", "--", sys.executable, "program.py", "two words")
    site.sprov("ingest")

    version = importlib.metadata.version("msgspec")
    python = sys.version.partition(" ")[0]
    command = f"{sys.executable} program.py 'two words'"
    found = shown(site)
    assert found["packages"]["msgspec"] == version
    told = {row["name"]: row["value"] for row in found["software"]}
    assert told["python"] == python
    assert told["command"] == command
    assert told["script_digest"].startswith("blake2b:")
    assert len(told["git_commit"]) == 40
    assert told["git_dirty"] == "1"
    text = site.sprov("show", "@last")
    assert f"packages ({len(found['packages'])})" in text
    for part in (f"msgspec {version}", python, "program.py 'two words'", told["git_commit"]):
        assert part in text

    environment = asked(site, "environment-files")
    assert environment["package.msgspec"] == version
    assert environment["python"] == python
    code = asked(site, "code")
    assert {
        name: code[name] for name in ("command", "script_digest", "git_commit", "git_dirty")
    } == {name: told[name] for name in ("command", "script_digest", "git_commit", "git_dirty")}


def write_log(folder: Path, rank: int, host: str, facts: dict[str, str], later: str) -> Path:
    """Write the log of a rank that tells facts as it opens and one later."""
    context = Context(
        run=RUN, restart=0, rank=rank, size=2, host=host, pid=1, user="ada", program="t.py",
        project="p", workflow="w", opened_ns=10**18, facts=facts,
    )  # fmt: skip
    signature = Signature(0, "run", "w")
    records = [
        [context, signature, Started(0, 0, ROOT, 0, 10**18)],
        [context, signature, Facts(1, {"late": later})],
    ]
    header = new_header(Owner("elsewhere", "0" * 32, 1, 0.0))
    writer = LogWriter(folder / f"{host}.log", header)
    for number, told in enumerate(records):
        frame = frame_of(header.log_id, number, [encode(record) for record in told])
        writer.append([frame.pack()])
    writer.sync()
    writer.close()
    return writer.path


def test_two_nodes_tell_a_fact_differently(site: Site):
    both = {"driver": "550.1", "cluster": "c1"}
    logs = [
        write_log(site.folder, 0, "node1", both, "a"),
        write_log(site.folder, 1, "node2", {**both, "driver": "535.9"}, "b"),
    ]
    site.sprov("ingest", *map(str, logs))

    found = shown(site)
    assert found["facts"]["driver"] == "535.9; 550.1"
    assert found["facts"]["cluster"] == "c1"
    assert found["facts_by_node"] == [
        {"name": "driver", "value": "550.1", "nodes": "node1"},
        {"name": "driver", "value": "535.9", "nodes": "node2"},
        {"name": "late", "value": "a", "nodes": "node1"},
        {"name": "late", "value": "b", "nodes": "node2"},
    ]
    assert "facts by node" in site.sprov("show", "@last")
    rows = site.select(
        "SELECT ?node { ?fact a sprov:Fact ; rdfs:label 'cluster' ; prov:value 'c1' ; "
        "prov:atLocation/rdfs:label ?node } ORDER BY ?node"
    )
    assert [row["node"] for row in rows] == ["node1", "node2"]
    site.verify()
    assert json.loads(site.sprov("verify", "--shapes", "--format", "json"))["problems"] == []
