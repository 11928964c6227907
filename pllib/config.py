"""Configurations of any kind, flattened to names and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten a dict, Namespace, dataclass or OmegaConf to dotted names."""
    if config is None:
        return {}
    if not isinstance(config, Mapping):
        config = _fields(config)
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def _fields(config: Any) -> Mapping[str, Any]:
    names = getattr(type(config), "__dataclass_fields__", None)
    if names is not None:
        return {name: getattr(config, name) for name in names}
    if hasattr(config, "__dict__"):
        return dict(vars(config))
    return {"config": config}
