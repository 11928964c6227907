"""What is said of the exception that ended a block or a session."""

from __future__ import annotations

from .foreign import is_theirs


def describe_error(error: BaseException | None) -> str | None:
    """Return type and message of an exception, cut at 1,000 characters; None if none failed."""
    if error is None or not is_failure(error):
        return None
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception as exc:  # a foreign __str__ may raise anything
        if is_theirs(exc):
            raise
        text = type(error).__name__
    return text[:1000].encode("utf-8", "backslashreplace").decode()


def is_failure(error: BaseException) -> bool:
    """Tell whether an exception that ends a block says that something went wrong.

    GeneratorExit says only that a loop was left, and SystemExit may be an end in order.
    """
    if isinstance(error, SystemExit):
        return not (error.code is None or (isinstance(error.code, int) and error.code == 0))
    return not isinstance(error, GeneratorExit)
