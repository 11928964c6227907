"""New inputs by the ten thousand, for whatever strangers may write."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz import try_new
from harness import require_module
from targets import TARGETS

RUNS = 20_000


@pytest.mark.parametrize("target", TARGETS)
def test_many_new_inputs_are_taken_or_refused(target: str, tmp_path: Path):
    require_module("atheris", "dev")
    assert try_new(target, RUNS, tmp_path) == (0, [])
