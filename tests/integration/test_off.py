"""A program that runs with capture on runs with capture off, and finds the same."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import pllib
from pllib.data import Handle


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SPROV_DIR", str(tmp_path / ".sprov"))
    monkeypatch.setenv("SPROV_SOFTWARE", "loaded")


ALIVE: list[dict[str, Any]] = []


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    while ALIVE:
        close(ALIVE.pop())


def opened(mode: str, **arguments: Any) -> dict[str, Any]:
    """Return one object of each kind that a program gets, alive."""
    session = pllib.open(mode=mode, study="digits", **arguments)
    stage = session.stage("training", "fit", hyperparameters={"lr": 0.1}).__enter__()
    section = stage.section("epoch", 3).__enter__()
    transformation = section.transformation("step", used={"a": 1}).__enter__()
    made = transformation.generated({"val/acc": 0.5}, loss=1.0)
    found = {
        "session": session, "stage": stage, "section": section, "transformation": transformation,
        "trial": stage.trial("first"), "made": made, "stage's": stage.generated(x=1),
        "none": transformation.generated(), "handle": made["loss"],
    }  # fmt: skip
    ALIVE.append(found)
    return found


def public(thing: Any) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def close(found: dict[str, Any]) -> None:
    for name in ("transformation", "section", "stage"):
        found[name].__exit__(None, None, None)
    found["session"].close()


def test_what_is_there_when_capture_is_on_is_there_when_it_is_off():
    on, off = opened("offline"), opened("off")
    for kind, thing in on.items():
        missing = public(thing) - public(off[kind])
        assert not missing, (kind, missing)
        for name in public(thing):
            one, other = getattr(thing, name, None), getattr(off[kind], name)
            assert callable(one) == callable(other) or one is None, (kind, name)


CALLS = (
    "used", "generated", "metric", "metrics", "hyperparameter", "checkpoint", "resumed_from",
    "transformation", "stage", "trial", "section", "sections", "close",
)  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_calls_take_the_same_arguments(name):
    on, off = (inspect.signature(getattr(kind, name)) for kind in (pllib.Session, pllib.Off))
    assert [(p.name, p.kind, p.default) for p in on.parameters.values()] == [
        (p.name, p.kind, p.default) for p in off.parameters.values()
    ]


@pytest.mark.parametrize("place", [{}, {"rank": 2, "size": 4}], ids=["alone", "given"])
def test_what_the_program_said_is_what_it_finds(place):
    on, off = opened("offline", **place), opened("off", **place)
    for kind in ("session", "stage", "section", "transformation", "trial"):
        for name in ("kind", "name", "step", "only_rank", "index", "label"):
            if hasattr(on[kind], name):
                assert getattr(off[kind], name) == getattr(on[kind], name), (kind, name)
    session, other = on["session"], off["session"]
    assert (other.rank, other.size) == (session.rank, session.size)
    assert (other.rank, other.size) == (place.get("rank", 0), place.get("size", 1))
    assert (session.is_closed, other.is_closed) == (False, False)
    assert session.lost == other.lost == {}
    while ALIVE:
        close(ALIVE.pop())
    assert (session.is_closed, other.is_closed) == (True, True)


def test_the_rank_is_that_of_the_launch(monkeypatch):
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "x"}.items():
        monkeypatch.setenv(name, value)
    with pllib.open(mode="off") as session:
        assert (session.rank, session.size) == (3, 4)


@pytest.mark.parametrize("kind", ["made", "stage's", "none"])
def test_what_generated_returns_is_a_mapping_in_every_mode(kind):
    on, off = opened("offline"), opened("off")
    for made in (on[kind], off[kind]):
        assert isinstance(made, Mapping)
        assert list(made) == list(on[kind])
        assert len(made) == len(on[kind])
        assert bool(made) == bool(on[kind])
        assert all(isinstance(handle, Handle) for handle in made.values())
        assert dict(made).keys() == {name for name, _ in made.items()} == set(made)
        assert made.get("none", 7) == 7
        assert "none" not in made
        with pytest.raises(KeyError):
            made["none"]


def test_a_handle_of_a_time_without_capture_may_be_used(tmp_path):
    handle = opened("off")["handle"]
    with pllib.open(mode="offline") as session:
        session.used(before=handle)
        with session.transformation("step", used={"before": handle}):
            pass
        assert not session.lost


def test_wrong_calls_raise_no_more_than_when_capture_is_on(tmp_path: Path):
    with pllib.open(mode="off") as session:
        session.metric("loss", "not a number")
        session.used(7)
        assert len(session.generated(5)) == 0
        session.metrics(None)
        session.checkpoint(None)
        with session.stage(["kind"]) as stage, stage.section("epoch", "one") as section:
            assert section.step is None
        with session.transformation(["name"], used=5) as step:
            assert step.generated({"a": 1, 2: 3}).keys() == {"a", "2"}


class Odd:
    """What says that it is a whole number, and is none."""

    def __index__(self) -> int:
        raise RuntimeError("no number")


@pytest.mark.parametrize("mode", ["offline", "off"])
@pytest.mark.parametrize("index", [Odd(), Odd, int, 1 << 70, "one", 1.5])
def test_an_index_that_is_none_is_left_out(mode: str, index: Any):
    with (
        pllib.open(mode=mode) as session,
        session.section("epoch", index) as epoch,
        session.stage("training", only_rank=index) as stage,
        session.transformation("step", only_rank=index) as step,
    ):
        assert (epoch.step, stage.step) == (None, None)
        step.generated(a=1)
    assert not session.lost
