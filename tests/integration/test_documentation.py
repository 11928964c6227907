"""The documents say what is true: links lead somewhere, queries answer, settings are all there."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from harness import Site

from pllib import settings
from sprov.cli import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_each_section_of_the_settings_has_exactly_its_own_documented():
    page = (ROOT / "docs/reference/settings.md").read_text()
    documented = {}
    for part in page.split("\n## ")[1:]:
        if title := re.search(r"`\[(\w+)\]` in the files", part):
            documented[title[1]] = sorted(re.findall(r"^\| `(\w+)` \|", part, re.M))
    sections = {
        "capture": settings.Settings,
        "serve": settings.Serving,
        "run": settings.Running,
        "query": settings.Querying,
        "retention": settings.Retention,
        "redaction": settings.Redaction,
        "slurm": settings.InSlurm,
        "export": settings.Publishing,
    }
    declared = [each for each in vars(settings).values() if is_section(each)]
    assert sorted(sections.values(), key=repr) == sorted(declared, key=repr)
    assert documented == {n: sorted(each.__struct_fields__) for n, each in sections.items()}


def is_section(value: object) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, msgspec.Struct)
        and value.__module__ == settings.__name__
    )


def test_every_command_is_in_the_readme():
    page = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if not re.search(rf"\bsprov {name}\b", page)] == []


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
