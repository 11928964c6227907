"""Queries that are meant to do harm: how late their errors come, and what honest ones pay.

The queries are those of `tests/hostile_queries.py`, each with a limit of one second, through the
manager and without one; between them honest queries are asked.  Then a million rows go through the
manager, as CSV.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from pllib import managers
from pllib.errors import Error, QueryError
from pllib.project import Endpoint, Project
from query.engine import Engine

from . import service, table

TESTS = Path(__file__).parents[1] / "tests"
LIMIT_S = 1.0
LATE_S = 2.0
ROWS = 1_000_000
MEMORY_BYTES = 512 << 20


def is_error(endpoint: Endpoint, query: bytes) -> bool:
    headers = {"Content-Type": "application/sparql-query"}
    path = f"/sparql?timeout={LIMIT_S}"
    try:
        reply = managers.request(endpoint, "POST", path, query, headers, timeout_s=60.0)
    except Error:  # the answer was cut
        return True
    return reply.status in (400, 413)


def is_refused(project: Project, file: Path, query: bytes) -> bool:
    file.write_bytes(query)
    command = [service.command("sprov"), "query", "-f", str(file), "--timeout", str(LIMIT_S)]
    done = subprocess.run(command, cwd=project.root, capture_output=True, check=False)
    return done.returncode == QueryError.exit_code


def over_http(
    endpoint: Endpoint, queries: dict[str, bytes], engine: Engine, honest: str
) -> list[table.Row]:
    process = psutil.Process(endpoint.manager_pid)
    engine.select(honest)
    before = process.memory_info().rss
    late, waits, n_errors = [], [], 0
    for query in queries.values():
        began = time.perf_counter()
        n_errors += is_error(endpoint, query)
        late.append(time.perf_counter() - began - LIMIT_S)
        began = time.perf_counter()
        engine.select(honest)
        waits.append(time.perf_counter() - began)
    grown = (process.memory_info().rss - before) / (1 << 20)
    n_queries = len(queries)
    return [
        table.Row(
            "hostile queries over HTTP, errors", f"of {n_queries}", n_errors, at_least=n_queries
        ),
        table.Row(
            "hostile queries over HTTP, slowest after its limit", "s", max(late), at_most=LATE_S
        ),
        table.Row("honest query in between, slowest", "s", max(waits)),
        table.Row("manager's memory, grown", "MiB", grown, at_most=50.0),
    ]


def without_daemons(project: Project, queries: dict[str, bytes]) -> list[table.Row]:
    late, n_errors = [], 0
    for query in queries.values():
        began = time.perf_counter()
        n_errors += is_refused(project, project.root / "hostile.rq", query)
        late.append(time.perf_counter() - began - LIMIT_S)
    n_queries = len(queries)
    return [
        table.Row("hostile `sprov query`, errors", f"of {n_queries}", n_errors, at_least=n_queries),
        table.Row("hostile `sprov query`, slowest after its limit", "s", max(late), at_most=LATE_S),
    ]


def many_rows(endpoint: Endpoint, engine: Engine, query: str) -> list[table.Row]:
    process = psutil.Process(endpoint.manager_pid)
    before = most = process.memory_info().rss
    began, n_rows, last_look = time.perf_counter(), 0, 0.0
    with engine.stream(query, ["csv"]) as (_, pieces):
        for piece in pieces:
            n_rows += piece.count(b"\n")
            if time.perf_counter() - last_look > 0.1:
                last_look = time.perf_counter()
                most = max(most, process.memory_info().rss)
    took = time.perf_counter() - began
    return [
        table.Row("rows through the manager as CSV", "rows/s", n_rows / took),
        table.Row(f"manager's memory, {n_rows - 1:,} rows", "MiB", (most - before) / (1 << 20)),
    ]


def measure(options: argparse.Namespace) -> list[table.Row]:
    sys.path.insert(0, str(TESTS))
    from hostile_queries import HONEST, NEXT, QUERIES, fill

    with service.project() as project:
        os.environ["SPROV_QUERY_MEMORY_BYTES"] = str(MEMORY_BYTES)
        fill(project)
        rows = without_daemons(project, QUERIES)
        with service.serving(project) as endpoint:
            engine = Engine(project, endpoint, 300.0)
            rows += over_http(endpoint, QUERIES, engine, HONEST)
            query = f"SELECT * {{ ?a {NEXT} ?b . ?c {NEXT} ?d }} LIMIT {options.rows}"
            rows += many_rows(endpoint, engine, query)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    table.run(measure, parser)
