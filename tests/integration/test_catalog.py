"""Every named query, against answers that were computed without the graph."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from catalog import cluster, domain, execution, learning, telemetry
from catalog.asked import ANSWERS, unmatched
from catalog.study import Study
from harness import Site

from query.named import catalog

MODULES = (domain, learning, execution, cluster, telemetry)


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A site where the study ran, its last run still running."""
    with Site(tmp_path_factory.mktemp("study")) as site:
        site.serve()
        made = Study(site)
        made.run_all(cluster.run_tasks)
        yield made


def test_every_named_query_has_an_answer_here() -> None:
    assert set(ANSWERS) == set(catalog())


@pytest.mark.parametrize("name", ANSWERS)
def test_it_answers_what_the_programs_wrote_down(study: Study, name: str) -> None:
    n_asked = 0
    for parameters, expected in ANSWERS[name](study):
        found = study.ask(name, **parameters)
        assert unmatched(found, expected) == ([], []), parameters
        n_asked += 1
    assert n_asked
