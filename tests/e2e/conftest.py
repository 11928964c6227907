"""Fixtures that tests of several modules share: what takes long is done once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness import Site, require_module
from lifecycle import Lifecycle, live


@pytest.fixture(scope="session")
def lifecycle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lifecycle]:
    """The lifecycle example, all of whose jobs have run; its daemons still do."""
    require_module("torch", "lifecycle")
    with Site(tmp_path_factory.mktemp("lifecycle")) as site:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SPROV_SOFTWARE", "loaded")  # which is the default
            lived = live(site)
        yield lived
