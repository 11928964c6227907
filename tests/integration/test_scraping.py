"""Prometheus scrapes a manager: on a port that stays, with a token that opens nothing else."""

from __future__ import annotations

import os
import random
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from harness import Site, require_module, wait_until

from pllib import wire
from pllib.connection import Connection, hello

require_module("prometheus_client", "dev")

from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

TOKEN = "scrape-0123456789abcdef"
WAIT_S = 200


def free_port() -> int:
    """Return a port that the kernel gives to nobody who does not ask for it."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Scraped:
    """A running project, and what its manager answers to whom."""

    def __init__(self, site: Site, port: int) -> None:
        self.site, self.url = site, f"http://127.0.0.1:{port}"

    def get(self, path: str, token: str, data: bytes | None = None) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, ""

    def scrape(self) -> dict[str, dict[str, Any]]:
        """Return the samples by name, each value by its label's."""
        status, text = self.get("/metrics", TOKEN)
        assert status == 200
        return {
            sample.name: {
                ",".join(each.labels.values()): each.value
                for each in family.samples
                if each.name == sample.name
            }
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    with Site(tmp_path_factory.mktemp("scraped")) as site:
        token = site.folder / "token"
        token.write_text(f"{TOKEN}\n")
        token.chmod(0o600)
        port = free_port()
        config = f'[serve]\nmanager_port = {port}\nmetrics_token_file = "{token}"\n'
        (site.project.root / "config.toml").write_text(config)
        site.serve()
        yield Scraped(site, port)


def test_counts_of_both_daemons_are_scraped(scraped: Scraped):
    site = scraped.site
    connection = Connection(site.endpoint, hello(wire.NO_LOG, "", 0, ""))
    assert connection.wait(WAIT_S, zmq.POLLOUT)
    assert connection.send([b"junk", b"", b"", b""])
    site.run("training.py")
    n_records = wait_until(lambda: scraped.scrape()["sprov_manager_records_total"][""])
    connection.close()
    found = wait_until(lambda: (now := scraped.scrape()).get("sprov_tracker_journal_bytes") and now)
    assert found["sprov_tracker_up"] == {"": 1}
    assert found["sprov_tracker_frames_total"][""] >= 1
    assert found["sprov_tracker_handed_over_records_total"][""] == n_records
    assert found["sprov_tracker_refused_total"]["malformed"] == 1
    assert found["sprov_tracker_hellos_total"] == {"": 1}
    assert found["sprov_tracker_journal_bytes"][""] > 0
    for folder in ("tracker_journal", "manager_store"):
        assert found[f"sprov_{folder}_free_bytes"][""] > 0
    assert found["sprov_manager_trouble"] == {"": 0}


def test_the_token_of_metrics_opens_nothing_else(scraped: Scraped):
    before = scraped.scrape().get("sprov_manager_http_refused_total", {}).get("401", 0)
    for path in ("/v1/status", "/v1/runs", "/sparql?query=ASK%20%7B%7D", "/metrics/", "/Metrics"):
        assert scraped.get(path, TOKEN)[0] == 401, path
    assert scraped.get("/v1/provenance", TOKEN, b"x")[0] == 401
    assert scraped.get("/metrics", TOKEN, b"x")[0] == 405
    assert scraped.get("/metrics", "")[0] == 401
    assert scraped.get("/metrics", TOKEN[:-1])[0] == 401
    assert scraped.get("/metrics", scraped.site.endpoint.token)[0] == 200
    assert scraped.scrape()["sprov_manager_http_refused_total"]["401"] == before + 8


def test_a_tracker_that_does_not_answer_has_no_counts(scraped: Scraped):
    pid = scraped.site.endpoint.tracker_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        found = scraped.scrape()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert found["sprov_tracker_up"] == {"": 0}
    assert [name for name in found if name.startswith("sprov_tracker_")] == ["sprov_tracker_up"]
    assert "sprov_manager_records_total" in found
    wait_until(lambda: scraped.scrape()["sprov_tracker_up"] == {"": 1})


def test_port_and_token_stay_when_the_manager_is_started_again(scraped: Scraped):
    scraped.site.kill("manager")
    assert scraped.scrape()["sprov_manager_records_total"] is not None
