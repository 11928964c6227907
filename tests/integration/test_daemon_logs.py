"""What a support person sees of a bad night: who started, came, was refused, died and ended."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

import zmq
from harness import Site, wait_until

from pllib import wire
from pllib.connection import Connection, hello
from sprov.daemonlogs import Reader


def test_a_night_can_be_told_from_the_logs(site: Site):
    site.serve()
    bring_junk(site)
    site.run("training.py")
    wait_for(site, "client ended")
    site.kill("manager")
    site.kill("tracker")
    follower = follow(site)
    assert follower.stdout is not None
    assert "local serve: started" in follower.stdout.readline()
    site.stop()
    while "local serve: ended" not in (line := follower.stdout.readline()):
        assert line.rstrip("\n").isprintable()
    follower.send_signal(signal.SIGINT)
    _, errors = follower.communicate()
    assert errors.strip() == ""

    def entries(*options: str) -> list[dict[str, Any]]:
        printed = site.sprov("log", "daemons", *options, "--format", "json")
        return [json.loads(line) for line in printed.splitlines()]

    by_event: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in entries():
        by_event.setdefault((entry["daemon"], entry["event"]), []).append(entry)
    (started,) = by_event["serve", "started"]
    assert started["project"] == str(site.project.root)
    assert started["settings"]["log_level"] == "info"
    assert {"sprov", "python", "bind", "host", "user"} <= started.keys()
    assert len(by_event["tracker", "started"]) == 2
    assert len(by_event["manager", "started"]) == 2
    assert [entry["how"] for entry in by_event["serve", "manager died"]] == [
        "was ended by signal 9"
    ]
    (tracker_died,) = by_event["serve", "tracker died"]
    (took_over,) = by_event["tracker", "took over from a tracker that did not end in order"]
    assert took_over["its_pid"] == tracker_died["died_pid"]
    (refused,) = by_event["tracker", "messages refused"]
    assert (refused["reason"], refused["total"], refused["level"]) == ("malformed", 1, "warning")
    connected = {entry["run"] for entry in by_event["tracker", "client connected"]}
    assert connected == {entry["run"] for entry in by_event["tracker", "client ended"]}
    assert by_event["serve", "asked to end"][0]["by"] == "SIGTERM"
    for daemon in ("serve", "tracker", "manager"):
        assert len(by_event[daemon, "ended"]) == 1, daemon
    assert by_event["tracker", "ended"][0]["not_handed_over"] == 0
    endpoint = (site.project.endpoints / "local.json").read_bytes()
    key = site.project.endpoint("local").with_suffix(".key").read_bytes()
    everything = b"".join(path.read_bytes() for path in site.project.logs.rglob("*.jsonl*"))
    for secret in (json.loads(endpoint)["client_secret_key"], *json.loads(key).values()):
        assert secret.encode() not in everything

    assert {entry["level"] for entry in entries("--level", "warning")} == {"warning"}
    assert [entry["event"] for entry in entries("-n", "1")] == ["ended"]
    assert "no daemon 'other' has logged here" in site.sprov("log", "daemons", "other", status=2)


def bring_junk(site: Site) -> None:
    """Send what no rank sends."""
    connection = Connection(site.endpoint, hello(wire.NO_LOG, "", 0, ""))
    assert connection.wait(60, zmq.POLLOUT)
    assert connection.send([b"JUNK\n\x1b[2J", b"", b"", b""])
    wait_for(site, "messages refused")
    connection.close()


def wait_for(site: Site, event: str) -> None:
    wait_until(lambda: event in [each["event"] for each in Reader(site.project, None).read()])


def follow(site: Site) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        site.command("log", "daemons", "--follow"), cwd=site.folder, env=site.environment(),
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    site.started.append(process)
    return process
