"""Loaded by every Python below `sprov run`, whose folder is first on PYTHONPATH.

It has the name that Python looks for when it starts, so it loads the one that would have been
found without it: a site's or a user's own goes on to work.  Pythons before 3.8 load it, too, and
are not watched; Python 2 must be able to read it, and passes over what it can't import.
"""

# pathlib and contextlib would be imported into every Python:
# ruff: noqa: PTH100, PTH120, SIM105

import os
import sys
from importlib.machinery import PathFinder

HERE = os.path.dirname(os.path.abspath(__file__))


def _watch():
    # type: () -> None
    where = os.environ.get("SPROV_OPENED")
    if where and hasattr(sys, "addaudithook"):
        from sprov_opened import watch  # type: ignore[import-not-found]  # it lies beside this

        watch(where, os.environ.get("SPROV_OPENED_EXCLUDE", "").split(os.pathsep))


def _load_hidden():
    # type: () -> None
    """Load the `sitecustomize` that this one hides; what it raises is its own affair."""
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != HERE]
    found = PathFinder.find_spec("sitecustomize", sys.path)
    if found is not None and found.loader is not None:
        from importlib.util import module_from_spec

        module = sys.modules["sitecustomize"] = module_from_spec(found)
        found.loader.exec_module(module)


try:
    _watch()
except Exception:  # noqa: BLE001  a guest's start must not depend on us
    pass
_load_hidden()
