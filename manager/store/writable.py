"""The writable store of one folder."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path

import pyoxigraph as ox

from pllib.errors import BusyError, UnavailableError
from pllib.log import sync_folder
from pllib.sharing import in_shared, make_folder, open_file, own, share

from ..vocabulary import term
from .snapshots import few_files, watermarks

KEEP_SNAPSHOTS = 2


class Store:
    """The writable store of one folder; a lock file keeps a second writer out."""

    def __init__(self, folder: Path) -> None:
        """Open or make it.

        Raises:
            BusyError: Another process has it open.
            UnavailableError: It can't be opened.
        """
        self.folder = folder
        make_folder(folder.parent)
        self._lock = _lock(folder.with_name(folder.name + ".lock"))
        self._opened: ox.Store | None = None
        try:
            if (aside := folder.with_name(f"{folder.name}.old")).exists() and not folder.exists():
                aside.rename(folder)  # `sprov rebuild` was killed between two renames
            self._keep_private_or_shared()
            self.reopen()
        except (OSError, RuntimeError) as exc:  # the latter when it is corrupt (pyoxigraph 0.5.13)
            os.close(self._lock)
            raise UnavailableError(f"the store {folder} can't be opened: {exc}") from exc

    def _keep_private_or_shared(self) -> None:
        """Have RocksDB, which makes its files 0644 less the umask, keep to `pllib.sharing`."""
        self._shared = in_shared(self.folder)
        os.umask(0o007 if self._shared else 0o077)
        if self._shared and self.folder.is_dir():
            own(self.folder)

    def reopen(self) -> None:
        """Close it, if it is open, and open it: after an I/O error RocksDB takes no more writes.

        Not during `load`.  Another thread that is reading it keeps it open, and this fails then.

        Raises:
            OSError: It can't be opened, and is closed now.
        """
        self._opened = None
        for stray in self.folder.glob("bulk-*.sst"):  # of loads that were killed or failed
            stray.unlink()
        with few_files():
            self._opened = ox.Store(str(self.folder))
        sync_folder(self.folder.parent)

    @property
    def _store(self) -> ox.Store:
        if self._opened is None:
            raise OSError(errno.EIO, "it is closed since an I/O error")
        return self._opened

    def load(self, ntriples: bytes) -> None:
        """Add triples, all or none, durable when this returns.

        Raises:
            OSError: The disk is full or failed.
            SyntaxError: Not N-Triples.
        """
        self._store.bulk_load(input=ntriples, format=ox.RdfFormat.N_TRIPLES)

    def watermarks(self, journal: str) -> dict[str, int]:
        """Return run → highest frame ordinal of that journal queue in the store.

        Raises:
            OSError: It is closed, or the disk failed.
        """
        return watermarks(self._store, journal)

    def series_files(self) -> set[str]:
        """Return all that were ever named, relative to the folder of series."""
        return self._objects("sprov:seriesFile")

    def superseded_files(self) -> set[str]:
        """Return those that others have taken the place of."""
        return self._objects("sprov:supersededFile")

    def _objects(self, name: str) -> set[str]:
        return {row[0].value for row in self._select(f"SELECT ?o {{ ?s {term(name)} ?o }}")}

    def snapshot(self, folder: Path) -> Path:
        """Make a snapshot by hard links and point ``current`` at it, durable when this returns.

        Raises:
            OSError: The disk is full or failed.
        """
        make_folder(folder)
        name = f"{_last_snapshot(folder) + 1:08d}"
        partial = folder / f"{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        if self._shared:
            share(self.folder)
        self._store.backup(str(partial))
        if self._shared:
            share(partial)
        partial.rename(folder / name)
        link = folder / "current.new"
        link.unlink(missing_ok=True)
        link.symlink_to(name)
        link.replace(folder / "current")
        sync_folder(folder)  # what is in the snapshot RocksDB has synced
        _delete_old(folder)
        return folder / name

    def optimize(self) -> None:
        """Raises:
        OSError: The disk is full or failed.
        """
        self._store.optimize()

    def close(self) -> None:
        self._opened = None
        if self._shared:
            share(self.folder)
        os.close(self._lock)

    def _select(self, query: str) -> ox.QuerySolutions:
        result = self._store.query(query)
        assert isinstance(result, ox.QuerySolutions)
        return result


def _lock(path: Path) -> int:
    fd = open_file(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(fd)
        if exc.errno not in (errno.EAGAIN, errno.EACCES):
            raise UnavailableError(f"{path} can't be locked: {exc.strerror}") from exc
        raise BusyError(
            f"another process is writing the store beside {path}",
            "`sprov status` shows it; `sprov stop` ends it",
        ) from None
    return fd


def _last_snapshot(folder: Path) -> int:
    return max((int(path.name) for path in folder.iterdir() if path.name.isdigit()), default=0)


def _delete_old(folder: Path) -> None:
    numbered = sorted(path for path in folder.iterdir() if path.name.isdigit())
    for path in numbered[:-KEEP_SNAPSHOTS]:
        shutil.rmtree(path, ignore_errors=True)
