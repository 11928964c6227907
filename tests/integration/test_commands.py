"""Commands say in one line what was wrong and what to do, with a status by kind."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from harness import SCRIPT, TIMEOUT_S, Site

from pllib.log import COPY_AT
from sprov.cli import COMMANDS


def one_line(errors: str) -> str:
    """Return the one line that an error is."""
    lines = [line for line in errors.splitlines() if line]
    assert len(lines) == 1, errors
    assert "Traceback" not in errors
    return lines[0]


@pytest.mark.parametrize("name", [n for n in COMMANDS if not COMMANDS[n].hidden])
def test_every_command_has_help_with_an_example_or_subcommands(site: Site, name: str):
    text = site.sprov(name, "--help")
    usage, _, described = text.partition("Options:")[0].partition("\n")
    assert f"sprov {name} " in usage
    has_example = re.search(rf"^ {{6}}(.*\s)?sprov {name}\b", described, re.M)
    assert has_example or "\nCommands:\n" in text


def test_a_wrong_query_says_where(site: Site):
    site.sprov("ingest")
    assert "query is wrong" in one_line(site.sprov("query", "SELECT BAD", status=5))
    assert "SERVICE" in one_line(site.sprov("query", "ASK { SERVICE <a:b> {} }", status=5))


def test_a_query_that_is_nested_too_deep_is_one_line(site: Site):
    site.sprov("ingest")
    query = "ASK { FILTER(" + "!" * 1900 + "true) }"
    assert "nested too deep" in one_line(site.sprov("query", query, status=5))


def test_a_query_that_kills_its_process_is_one_line(site: Site):
    site.sprov("ingest")
    doubled = "".join(f"BIND(CONCAT(?x{n}, ?x{n}) AS ?x{n + 1}) " for n in range(40))
    query = f'SELECT ?x40 {{ BIND("abcdefgh" AS ?x0) {doubled}}}'
    limit = {"SPROV_QUERY_MEMORY_BYTES": str(512 << 20)}
    errors = site.sprov("query", query, status=5, **limit)
    assert "the query needs more than 512 MiB of memory" in one_line(errors)


def test_a_query_that_takes_too_long_is_stopped(served: Site):
    served.run("steps.py", "500")
    served.count("?s ?p ?o")
    slow = "SELECT (COUNT(*) AS ?n) { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }"
    assert "stopped after 0.5 s" in one_line(
        served.sprov("query", slow, "--timeout", "0.5", status=5)
    )
    assert "LearningExperimentExecution" in served.sprov(
        "query", "SELECT ?t { ?r a ?t }", "--format", "csv"
    )
    served.stop()
    assert "stopped after 0.5 s" in one_line(
        served.sprov("query", slow, "--timeout", "0.5", status=5)
    )


def test_no_store_says_how_to_get_one(site: Site):
    assert "sprov ingest" in one_line(site.sprov("runs", status=4))


def test_status_of_daemons_is_in_columns(served: Site):
    """The longest names too; times as times, and counts by reason in words."""
    served.run("steps.py", "3")
    lines = served.sprov("status").splitlines()
    told = dict(
        line.strip().split("  ", 1)
        for line in lines
        if line.startswith("  ") and "  " in line.strip()
    )
    assert told["refused by"].strip() == "none"
    assert "refused frames not listed 0" in map(str.strip, lines)
    assert told["as of"].strip().startswith("20") and told["as of"].endswith("Z")


def test_no_project_says_how_to_make_one(site: Site, tmp_path_factory):
    done = subprocess.run(
        [SCRIPT, "runs"],
        cwd=tmp_path_factory.mktemp("empty"),
        env={k: v for k, v in os.environ.items() if k != "SPROV_DIR"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "sprov init" in one_line(done.stderr)


def test_a_port_in_use_is_named(site: Site):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for daemon in ("tracker", "manager"):
            errors = site.sprov(daemon, "serve", "--bind", f"127.0.0.1:{port}", status=4)
            assert str(port) in one_line(errors)
            assert "--bind" in errors


def test_a_second_serve_says_who_has_it(served: Site):
    assert "sprov stop" in one_line(served.sprov("serve", status=4))


def test_writing_commands_leave_a_served_store_alone(served: Site):
    assert "sprov stop" in one_line(served.sprov("rebuild", status=4))


def test_stop_ends_the_daemons_and_says_when_there_are_none(served: Site):
    pids = [served.endpoint.tracker_pid, served.endpoint.manager_pid]
    assert json.loads(served.sprov("status", "--format", "json"))["tracker"]["running"]
    served.sprov("stop")
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert served.server.wait(TIMEOUT_S) == 0
    served.server = None
    assert "no daemon" in one_line(served.sprov("stop", status=4))
    assert not json.loads(served.sprov("status", "--format", "json"))["tracker"]["running"]


def in_both_headers(data: bytes, at: int, said: bytes) -> bytes:
    """Return a log with bytes changed in its header and in the header's copy."""
    for start in (at, COPY_AT + at):
        data = data[:start] + said + data[start + len(said) :]
    return data


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: b"#!/bin/sh\n" + data, "not a provenance log"),
        (lambda data: in_both_headers(data, 8, b"\x63\x00"), "format version 99"),
        (lambda data: in_both_headers(data, 20, b"\xff\xff"), "checksum"),
    ],
)
def test_a_file_that_is_no_log_of_ours_is_named_and_kept(site: Site, change, says):
    site.run("training.py")
    (log,) = site.project.spool.glob("*.log")
    broken = change(log.read_bytes())
    log.write_bytes(broken)
    assert says in one_line(site.sprov("ingest", str(log), status=3))
    assert says in one_line(site.sprov("log", "show", str(log), status=3))
    assert log.read_bytes() == broken


def test_a_log_that_is_not_there_or_not_readable_is_named(site: Site):
    assert "none.log" in one_line(site.sprov("ingest", "none.log", status=3))


def test_a_run_that_is_not_there_lists_those_that_are(site: Site):
    site.run("training.py")
    site.sprov("ingest")
    assert "no run of job 4242" in one_line(site.sprov("show", "4242", status=5))


def test_show_and_json_have_stable_keys(site: Site):
    process = site.start("training.py", "--fail", SLURM_JOB_ID="4242")
    assert process.wait(TIMEOUT_S) == 1
    site.sprov("ingest")
    (run,) = json.loads(site.sprov("runs", "--format", "json"))
    assert list(run) == [
        "run", "name", "study", "experiment", "job", "ranks", "ranks_seen", "started", "ended",
        "state", "silent_ranks", "silent_s",
    ]  # fmt: skip
    assert (run["study"], run["job"], run["state"]) == ("digits", "4242", "failed")
    shown = json.loads(site.sprov("show", "4242", "--format", "json"))
    settings = {(row["plan"], row["name"]): row["value"] for row in shown["settings"]}
    assert settings["fit", "lr"] == "0.001"
    assert [row["error"] for row in shown["failures"]] == ["ZeroDivisionError: by zero"] * 2


def test_status_needs_no_extra(site: Site):
    program = "import sys; sys.modules['pyoxigraph'] = sys.modules['pyarrow'] = None\n"
    program += "sys.argv = ['sprov', 'status']\nfrom sprov.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=site.folder, env=site.environment(),
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "not running" in done.stdout


def test_a_missing_extra_is_named():
    program = "import sys; sys.modules['rich'] = None; sys.modules['pyoxigraph'] = None\n"
    program += "sys.argv = ['sprov', 'ingest']\nfrom sprov.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'sprov[server]'" in one_line(done.stderr)


def test_what_nobody_foresaw_is_one_line_that_says_where(site: Site):
    program = (
        "import sys, sprov.cli as front; front.cli = lambda **_: {}['a\\nb']; "
        "sys.argv = ['sprov', *sys.argv[1:]]; front.main()"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run([*command, "runs"], capture_output=True, text=True)
    assert done.returncode == 1
    assert one_line(done.stderr).startswith(
        "sprov: KeyError: 'a\\nb' (<string>:1). This is a fault"
    )
    done = subprocess.run([*command, "--debug", "runs"], capture_output=True, text=True)
    assert "Traceback" in done.stderr
