"""The tests themselves: what would let one pass, or wait, whatever the product does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FILES = sorted(path for path in TESTS.rglob("*.py") if "programs" not in path.parts)
POLLS = {"harness.py", "reaper.py", "cluster/jobs.py", "unit/test_telemetry.py"}
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


PRODUCT = [
    path
    for room in ("pllib", "tracker", "manager", "query", "slurm", "sprov")
    for path in sorted((TESTS.parent / room).rglob("*.py"))
    if "demo" not in path.parts and path.name != "probe.py"
]
"""The demo's folder has programs of a user's; the doctor's probe writes ASCII for srun."""
MAY_WRITE = {
    "print": (),
    "Console": (),
    "sys.stderr.write": ("pllib/notices.py", "slurm/guard.py", "slurm/srun_line.py"),
    "styled": ("query/console.py", "query/plot.py", "query/progress.py"),
}
"""What writes past what makes text inert, or messages of more than a line, and who may: modules
that clean each text themselves, and two that are run without `pllib`."""


def test_text_goes_to_a_terminal_by_one_way():
    assert len(PRODUCT) > 200
    problems = []
    for path in PRODUCT:
        name = path.relative_to(TESTS.parent).as_posix()
        problems += [f"{name}:{at}: {why}" for at, why in astray(ast.parse(path.read_text()), name)]
    assert problems == []


def astray(tree: ast.AST, name: str) -> Iterator[tuple[int, str]]:
    """Yield what writes past `pllib.terminal`, or what `pllib.notices` should."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("__stdout__", "__stderr__"):
            yield node.lineno, "this stream is not guarded"
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if name not in MAY_WRITE.get(called, (name,)):
                yield node.lineno, f"{called} writes past what makes text inert"
            elif called == "click.echo" and is_message(ast.unparse(node)):
                yield node.lineno, "pllib.notices writes messages"
            elif ast.unparse(node).startswith(("os.write(1,", "os.write(2,")):
                yield node.lineno, "this stream is not guarded"


def is_message(call: str) -> bool:
    return "'sprov: " in call.replace('"', "'") and "err=True" in call


@pytest.mark.parametrize(
    "text",
    ["print(name)", "Console().print(name)", "sys.__stderr__.write(name)", "os.write(2, name)",
     "click.echo(f'sprov: {name}', err=True)", "sys.stderr.write(name)"],
)  # fmt: skip
def test_what_goes_astray_is_found(text: str):
    assert len(list(astray(ast.parse(text), "query/x.py"))) == 1
