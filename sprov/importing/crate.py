"""RO-Crates, as a folder or a zip file.  Only members inside of the crate are read, and none is
written anywhere: a name that leads out of it is refused.

A crate of `sprov export` lists the whole graph as a file (``provenance.ttl``), which is what is
taken in.  Of any other crate its metadata are, with the RO-Crate context that `rocrate` ships.
"""

from __future__ import annotations

import json
import lzma
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

from pllib.regular import read_regular

from .rdf import read_rdf
from .statements import MAX_FILE_BYTES, ImportRefusedError, Statements

METADATA = "ro-crate-metadata.json"
GRAPH = "provenance.ttl"
CONTEXT_BASE = "https://w3id.org/ro/crate/"
MAX_METADATA_BYTES = 64 << 20
_UNREADABLE = (
    zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError, ValueError,
    zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What reading a member raises, by the way that it is packed."""
_RENAMED = {
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "FormalParameter": "https://bioschemas.org/FormalParameter",
    "input": "https://bioschemas.org/ComputationalWorkflow#input",
    "output": "https://bioschemas.org/ComputationalWorkflow#output",
}
"""Terms that version 1.1 has other IRIs for than later ones."""


class Crate:
    """Members of a crate by name, read with a limit."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            ImportRefusedError: It is no zip file.
        """
        self._path = path
        self._zip: zipfile.ZipFile | None = None
        if not path.is_dir():
            try:
                self._zip = zipfile.ZipFile(path)
            except (zipfile.BadZipFile, NotImplementedError, ValueError) as exc:
                raise ImportRefusedError(f"{path}: not a zip file: {exc}") from None

    def read(self, name: str, limit: int) -> bytes:
        """Return a member.

        Raises:
            ImportRefusedError: There is none, it leads out of the crate, or it is over the limit.
        """
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts or "\\" in name or "\0" in name:
            raise ImportRefusedError(f"{self._path}: the member {name!r} leads out of the crate")
        try:
            data = self._from_zip(name, limit) if self._zip else self._from_folder(name, limit)
        except (KeyError, FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise ImportRefusedError(f"{self._path}: no {name} in it") from None
        except _UNREADABLE as exc:
            raise ImportRefusedError(f"{self._path}: {name} can't be read: {exc}") from None
        if len(data) > limit:
            raise ImportRefusedError(f"{self._path}: {name} is over {limit >> 20} MiB")
        return data

    def _from_zip(self, name: str, limit: int) -> bytes:
        assert self._zip is not None
        with self._zip.open(name) as member:
            return member.read(limit + 1)

    def _from_folder(self, name: str, limit: int) -> bytes:
        root = self._path.resolve()
        found = (root / name).resolve()
        if not found.is_relative_to(root):
            raise ImportRefusedError(f"{self._path}: the member {name!r} leads out of the crate")
        if not found.is_file():
            raise FileNotFoundError(found)
        return read_regular(found, limit + 1)


def read_crate(path: Path, into: Statements) -> None:
    """Read a crate's graph.

    Raises:
        ImportRefusedError: It is no crate, or leads out of itself.
    """
    crate = Crate(path)
    metadata = _metadata(crate, into.source)
    listed = _graph_file(metadata)
    if listed is not None:
        into.source = f"{into.source}/{listed}"
        read_rdf(crate.read(listed, MAX_FILE_BYTES), "turtle", into)
        return
    metadata["@context"] = _embedded(metadata.get("@context"))
    into.source = f"{into.source}/{METADATA}"
    read_rdf(json.dumps(metadata).encode(), "jsonld", into)


def _metadata(crate: Crate, source: str) -> dict[str, Any]:
    data = crate.read(METADATA, MAX_METADATA_BYTES)
    try:
        found = json.loads(data)
    except json.JSONDecodeError as exc:
        reason = f"{source}/{METADATA}, line {exc.lineno}: not JSON: {exc.msg}"
        raise ImportRefusedError(reason) from None
    except RecursionError:
        raise ImportRefusedError(f"{source}/{METADATA}: nested too deep") from None
    except UnicodeDecodeError as exc:
        raise ImportRefusedError(f"{source}/{METADATA}: not JSON: {exc}") from None
    if not isinstance(found, dict) or not isinstance(found.get("@graph"), list):
        raise ImportRefusedError(f"{source}/{METADATA}: not RO-Crate metadata: no @graph in it")
    return found


def _graph_file(metadata: dict[str, Any]) -> str | None:
    """Return the name of the file that has the graph: it says that it is about the run."""
    for entity in metadata["@graph"]:
        if isinstance(entity, dict) and isinstance(entity.get("@id"), str):
            name = str(entity["@id"])
            if PurePosixPath(name).name == GRAPH and entity.get("encodingFormat") == "text/turtle":
                return name
    return None


def _embedded(context: Any) -> Any:
    """Return a JSON-LD context with RO-Crate's own in place of its address."""
    if isinstance(context, list):
        return [_embedded(part) for part in context]
    if isinstance(context, str) and context.startswith(CONTEXT_BASE):
        return ro_crate_context(context.removeprefix(CONTEXT_BASE).partition("/")[0])
    return context


def ro_crate_context(version: str) -> dict[str, str]:
    """Return the terms of RO-Crate's JSON-LD context.

    `rocrate` ships that of its newest version, to which terms were added; `_RENAMED` were changed.
    """
    import rocrate  # type: ignore[import-untyped]

    shipped = Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld"
    terms: dict[str, str] = json.loads(shipped.read_bytes())["@context"]
    return {**terms, **_RENAMED} if version in ("1.0", "1.1") else terms
