"""Inputs that anybody may have written: all that are kept, and some new ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz import kept, try_new
from fuzz_seeds import seeds
from harness import require_module
from targets import TARGETS

RUNS = 2_000


@pytest.mark.parametrize("target", TARGETS)
def test_what_once_reached_new_code_is_taken_or_refused(target: str):
    corpus = [*seeds(target), *kept(target)]
    assert len(corpus) > len(seeds(target)), "its corpus is kept beside it"
    for data in corpus:
        TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
def test_new_inputs_are_taken_or_refused(target: str, tmp_path: Path):
    require_module("atheris", "dev")  # it has no wheel for every Python and machine
    assert try_new(target, RUNS, tmp_path) == (0, [])
