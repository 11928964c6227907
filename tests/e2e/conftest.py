"""Fixtures that tests of several modules share: what takes long is done once."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from conftest import FOREIGN
from harness import Site, require_module
from lifecycle import Lifecycle, live


@pytest.fixture(scope="session")
def lifecycle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lifecycle]:
    """The lifecycle example, all of whose jobs have run; its daemons still do."""
    require_module("torch", "lifecycle")
    folder = tmp_path_factory.mktemp("lifecycle")
    with pytest.MonkeyPatch.context() as patch, Site(folder) as site:
        for name in [name for name in os.environ if name.startswith(FOREIGN)]:
            patch.delenv(name)
        yield live(site)
