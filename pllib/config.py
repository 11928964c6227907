"""Configurations of any kind, flattened to names and values.

What can't be read, such as an OmegaConf value that is missing or an attribute that raises, is
described and costs the rest nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .foreign import is_theirs
from .plans import HYPERPARAMETER
from .values import as_text, described

if TYPE_CHECKING:
    from .session import Session

MAX_DEPTH = 16
MAX_NAMES = 65_536
"""A configuration may make up parts of itself whenever it is asked; it must end.  Those that are
left out are counted, but not what would be in them."""
_VALUES = frozenset({str, int, float, bool, type(None), list, tuple})
"""Types of which no value is a configuration."""

_MARKS = ("__dataclass_fields__", "__attrs_attrs__", "model_fields", "__fields__")
"""Of a dataclass, attrs class, and pydantic model of either major version."""

Item = tuple[Any, Callable[[], Any]]
"""Name of a field, and what returns its value, or raises."""


class Flat(dict[str, Any]):
    """Values by dotted names."""

    n_left = 0
    """How many were left out."""


def flatten(config: Any) -> Flat:
    """Flatten a dict, Namespace, dataclass, OmegaConf or pydantic model to dotted names.

    Lists stay values.  Anything else that has no fields is a value named ``config``.
    """
    flat = Flat()
    if config is None:
        return flat
    items = _items(config)
    if items is None:
        flat["config"] = config
        return flat
    _flatten(items, "", [config], flat)
    return flat


def _flatten(items: Iterator[Item], prefix: str, around: list[Any], flat: Flat) -> None:
    for key, read in items:
        if len(flat) >= MAX_NAMES:
            flat.n_left += 1
            continue
        name = f"{prefix}{as_text(key)}"
        value, inner = _read(read)
        if inner is None:
            flat[name] = value
        elif len(around) >= MAX_DEPTH or any(value is above for above in around):
            flat[name] = described(type(value).__name__, "nested too deep, or in itself")
        else:
            before = len(flat)
            _flatten(inner, f"{name}.", [*around, value], flat)
            if len(flat) == before:
                flat[name] = {}


def _read(read: Callable[[], Any]) -> tuple[Any, Iterator[Item] | None]:
    """Return a field's value, and its own fields if it is a configuration; never raises for it."""
    try:
        value = read()
        if type(value) in _VALUES:
            return value, None
        if _is_nested(value):
            return value, _items(value)
        return (_list(value) if _is_omegaconf(value) else value), None
    except Exception as exc:
        if is_theirs(exc):
            raise
        return described(type(exc).__name__, as_text(exc).partition("\n")[0]), None


def _is_nested(value: Any) -> bool:
    """Tell whether a value is a configuration of its own, and no object that is a value."""
    kind = type(value)
    return (
        isinstance(value, Mapping)
        or kind.__name__ in ("Namespace", "SimpleNamespace")
        or any(hasattr(kind, mark) for mark in _MARKS)
    )


def _items(config: Any) -> Iterator[Item] | None:
    """Return the fields of a configuration; None if it has none."""
    kind = type(config)
    if isinstance(config, Mapping):
        return ((key, _getter(config.__getitem__, key)) for key in list(config))
    if hasattr(kind, "__dataclass_fields__"):
        names = list(kind.__dataclass_fields__)
    elif hasattr(kind, "__attrs_attrs__"):
        names = [field.name for field in kind.__attrs_attrs__]
    elif hasattr(kind, "model_fields") or hasattr(kind, "__fields__"):
        names = list(getattr(kind, "model_fields", None) or kind.__fields__)
    elif hasattr(config, "__dict__") and not isinstance(config, type):
        names = [name for name in vars(config) if not name.startswith("_")]
    else:
        return None
    return ((name, _getter(config.__getattribute__, name)) for name in names)


def _getter(read: Callable[[Any], Any], key: Any) -> Callable[[], Any]:
    return lambda: read(key)


def _is_omegaconf(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "omegaconf"


def _list(value: Any) -> Any:
    """Return an OmegaConf list as a plain one, its interpolations resolved."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(value, resolve=True)


def as_hyperparameters(
    session: Session, config: Any, prefix: str = HYPERPARAMETER
) -> dict[str, Any]:
    """Return a configuration of any kind as used values, marked as hyperparameters."""
    flat = flatten(config)
    if flat.n_left:
        session.lose(f"settings over {MAX_NAMES:,}", flat.n_left)
    return {f"{prefix}{name}": value for name, value in flat.items()}
