"""RO-Crates without a network: their JSON-LD, and the public validator with a warm cache."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import rdflib
import urllib3
from harness import TIMEOUT_S
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from requests_cache import CachedSession
from rocrate_validator.models import Severity, ValidationSettings
from rocrate_validator.services import validate as validate_crate
from rocrate_validator.utils.uri import URI

from sprov.importing.crate import ro_crate_context

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
VALIDATOR = Path(sys.executable).with_name("rocrate-validator")
PREFIXES = """
PREFIX s: <http://schema.org/>
PREFIX bio: <https://bioschemas.org/>
PREFIX cw: <https://bioschemas.org/ComputationalWorkflow#>
PREFIX wfrun: <https://w3id.org/ro/terms/workflow-run#>
PREFIX ro: <https://w3id.org/ro/terms#>
"""


def load(folder: Path) -> rdflib.Graph:
    """Return a crate's metadata as RDF; file names are relative to ``file:///crate/``."""
    metadata = json.loads((folder / "ro-crate-metadata.json").read_text())
    context = metadata["@context"]
    assert context[0] == CONTEXT
    metadata["@context"] = [ro_crate_context("1.1"), *context[1:]]
    return rdflib.Graph().parse(
        data=json.dumps(metadata), format="json-ld", publicID="file:///crate/"
    )


def ask(graph: rdflib.Graph, query: str) -> list[tuple[str, ...]]:
    """Return the rows of a query, each value as text, in order."""
    rows: Any = graph.query(PREFIXES + query)
    return sorted(tuple(str(value) for value in row) for row in rows)


class _Shipped(HTTPAdapter):
    """Answers with the context that `rocrate` ships, whatever is asked for."""

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Any:
        body = json.dumps({"@context": ro_crate_context("1.1")}).encode()
        raw = urllib3.HTTPResponse(
            io.BytesIO(body),
            {"Content-Type": "application/ld+json"},
            200,
            preload_content=False,
            request_url=request.url,
        )
        return self.build_response(request, raw)


def _warm_cache(folder: Path) -> Path:
    cache = folder / "http-cache"
    with CachedSession(str(cache), backend="sqlite", expire_after=-1) as session:
        session.mount("https://", _Shipped())
        assert session.get(CONTEXT).ok
    return cache


def recommendations(crate: Path, folder: Path) -> Counter[str]:
    """Return the checks that a crate does not meet, RECOMMENDED ones too, and how often."""
    settings = ValidationSettings(
        rocrate_uri=URI(str(crate)),
        profile_identifier="provenance-run-crate-0.5",
        requirement_severity=Severity.RECOMMENDED,
        offline=True,
        cache_path=_warm_cache(folder),
    )
    return Counter(issue.check.name for issue in validate_crate(settings).get_issues())


def validate(crate: Path, folder: Path) -> str:
    """Run the public validator, REQUIRED checks of all profiles; return what it found wrong.

    It is offline: the one address that it needs, RO-Crate's context, is put into its HTTP cache.
    """
    cache = _warm_cache(folder)
    done = subprocess.run(
        [
            str(VALIDATOR), "--no-interactive", "validate", "-p", "provenance-run-crate-0.5",
            "--offline", "--cache-path", str(cache), "--no-paging", "--verbose", str(crate),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )  # fmt: skip
    said = " ".join((done.stdout + done.stderr).split())
    if done.returncode == 0:
        assert "RO-Crate is a valid provenance-run-crate-0.5" in said
        return ""
    return said
