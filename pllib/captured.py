"""`@captured`: a function's arguments are used, what it returns is generated."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from .foreign import suppressing

Function = TypeVar("Function", bound=Callable[..., Any])


def captured(function: Function) -> Function:
    """Record each call of `function` as a transformation of the innermost execution.

    Arguments are used by name; what is returned is generated: a dict by its keys, a tuple by
    position, anything else as ``result``.  Generators and coroutines are recorded when called.
    """
    from . import current

    signature = inspect.signature(function)
    name = function.__qualname__

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with current().transformation(name, used=_arguments(signature, args, kwargs)) as execution:
            result = function(*args, **kwargs)
            with suppressing(Exception):  # a foreign container may raise anything
                execution.generated(_results(result))
        return result

    return call  # type: ignore[return-value]


def _arguments(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:  # the call itself is about to say so
        return dict(kwargs)
    bound.apply_defaults()
    values = dict(bound.arguments)
    values.pop("self", None)
    return values


def _results(result: Any) -> dict[str, Any]:
    if isinstance(result, dict) and all(isinstance(key, str) for key in result):
        return dict(result)
    if isinstance(result, tuple) and result:
        return {f"result_{nth}": item for nth, item in enumerate(result)}
    return {} if result is None else {"result": result}
