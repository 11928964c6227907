"""The documents say what is true: links lead somewhere, queries answer, settings are all there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from harness import Site

from pllib.settings import InSlurm, Querying, Running, Serving, Settings
from sprov.cli import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("section", [Settings, Serving, Running, Querying, InSlurm])
def test_every_setting_is_documented(section):
    page = (ROOT / "docs/reference/settings.md").read_text()
    assert [name for name in section.__struct_fields__ if f"`{name}`" not in page] == []


def test_every_command_is_in_the_readme():
    page = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if f"sprov {name}" not in page] == []


def test_the_queries_of_the_documents_answer(site: Site):
    """On a run that has hyperparameters, a model made from a file, and a failure."""
    site.run("lifecycle.py")
    site.sprov("ingest")
    queries = re.findall(
        r"```sparql\n(.*?)```", (ROOT / "docs/reference/graph.md").read_text(), re.S
    )
    assert len(queries) == 3
    for query in queries:
        assert len(site.sprov("query", query, "--format", "csv").splitlines()) >= 2, query
