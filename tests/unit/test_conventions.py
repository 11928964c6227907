"""The tests themselves: what would let one pass, or wait, whatever the product does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FILES = sorted(path for path in TESTS.rglob("*.py") if "programs" not in path.parts)
POLLS = {"harness.py", "cluster/jobs.py", "unit/test_telemetry.py"}
"""Files that may sleep, between two looks."""
SKIPS = {"harness.py"}


def test_no_check_is_idle():
    assert len(FILES) > 100
    problems = []
    for path in FILES:
        name = path.relative_to(TESTS).as_posix()
        problems += [f"{name}:{at}: {why}" for at, why in idle(ast.parse(path.read_text()), name)]
    assert problems == []


def idle(tree: ast.AST, name: str) -> Iterator[tuple[int, str]]:
    """Yield what can't fail, waits for a fixed time or skips without the helper."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and is_always_true(node.test):
            yield node.lineno, "it is always true"
        elif isinstance(node, ast.If | ast.IfExp) and isinstance(node.test, ast.Constant):
            yield node.lineno, "a branch that never runs"
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("time.sleep", "sleep") and name not in POLLS:
                yield node.lineno, "wait_until polls"
            elif called in ("pytest.skip", "pytest.importorskip") and name not in SKIPS:
                yield node.lineno, "lack fails in CI"


def is_always_true(test: ast.expr) -> bool:
    if isinstance(test, ast.Compare):
        return isinstance(test.ops[0], ast.GtE) and ast.unparse(test.comparators[0]) == "0"
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        return any(is_always_true(value) for value in test.values)
    return isinstance(test, ast.Constant) and bool(test.value)


@pytest.mark.parametrize(
    "text",
    ["assert n >= 0", "assert a or True", "x() if False else None", "time.sleep(1)",
     "pytest.importorskip('torch')", "if False:\n    assert a"],
)  # fmt: skip
def test_what_is_idle_is_found(text: str):
    assert len(list(idle(ast.parse(text), "test_x.py"))) == 1
