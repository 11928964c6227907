"""The `.sprov/` folder of a project, found from below as `.git/` is, and its endpoint files."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from .belonging import belongs, stamp
from .errors import Error, NotAProjectError, SettingsError, UnavailableError
from .notices import warn
from .projectkey import Key, ensure_key, path_key, read_key
from .sharing import (
    OWNERS_ALONE,
    is_shared,
    is_trusted,
    make_folder,
    make_one,
    open_file,
    sync_folder,
)

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ".sprov"
_IN_NAMES = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-")
CURVE_KEY_CHARACTERS = 40
"""In Z85.  Source: zmq_curve(7)."""


class Project(msgspec.Struct, frozen=True):
    """Where things lie; `root` is the `.sprov/` folder itself."""

    root: Path
    indexes: Path | None = None
    """Where store, series and snapshots lie, if not in `root`."""
    identity: Key | None = None
    """As of `create`, which has read it."""

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    @property
    def endpoints(self) -> Path:
        return self.root / "endpoints"

    def endpoint(self, name: str) -> Path:
        """Return the endpoint file of a name, which names the daemons' journal too.

        Raises:
            SettingsError: It can't be the name of a file of its own.
        """
        if not set(name) <= _IN_NAMES or name[:1] in ("", ".", "-"):
            raise SettingsError(
                f"{name!r} is no name of an endpoint", "Use letters, digits and any of ._+-"
            )
        return self.endpoints / f"{name}.json"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def journal(self) -> Path:
        """Folder of journals, one sub-folder a job or daemon."""
        return self.root / "journal"

    @property
    def logs(self) -> Path:
        """Folder of what daemons log (`pllib.daemonlog`), one sub-folder an endpoint."""
        return self.root / "logs"

    @property
    def kept(self) -> Path:
        """Folder of what is kept by content (`pllib.kept`)."""
        return self.root / "kept"

    @property
    def launches(self) -> Path:
        """Folder of claims (`pllib.launches`), one sub-folder a job."""
        return self.root / "launches"

    @property
    def store(self) -> Path:
        return (self.indexes or self.root) / "store"

    @property
    def series(self) -> Path:
        return (self.indexes or self.root) / "series"

    @property
    def snapshots(self) -> Path:
        return (self.indexes or self.root) / "snapshots"

    @property
    def name(self) -> str:
        return self.root.parent.name

    @property
    def key(self) -> str:
        """Tells this project from others, on every node that sees it."""
        return (self.identity or read_key(self.root)).key

    @property
    def copied_from(self) -> str:
        """Key of the project that this one was copied from; empty if it was not."""
        return (self.identity or read_key(self.root)).copied_from

    @property
    def keys(self) -> frozenset[str]:
        """What its logs may call it: those of earlier versions by the path that it has or had."""
        known = self.identity or read_key(self.root)
        return frozenset({known.key, path_key(self.root), known.of_path} - {""})

    def create(self) -> Project:
        """Make the folders that are missing, for the owner alone or for the root's group."""
        self.root.parent.mkdir(parents=True, exist_ok=True)
        make_one(self.root, shared=False)
        shared = is_shared(self.root)
        for folder in (self.endpoints, self.spool, self.journal):
            make_one(folder, shared=shared)
        make_folder(self.snapshots)
        return msgspec.structs.replace(self, identity=ensure_key(self.root))


def find(
    start: Path | None = None,
    environ: Mapping[str, str] | None = None,
    warn: Callable[[str], None] = warn,
) -> Project:
    """Find the project: `SPROV_DIR`, else the nearest `.sprov/` at or above `start`.

    One that is neither this user's nor shared with a group of his is passed over, for root too.

    Args:
        warn: Is told of what is passed over.

    Raises:
        NotAProjectError: There is none.
        UnavailableError: The working folder was deleted.
    """
    from pathlib import Path

    environ = os.environ if environ is None else environ
    if chosen := environ.get("SPROV_DIR"):
        return Project(Path(chosen).absolute())
    start = (start or working_folder()).absolute()
    for folder in (start, *start.parents):
        root = folder / FOLDER
        with contextlib.suppress(OSError):  # none, or none that this user may look at
            if not stat.S_ISDIR(root.stat().st_mode):
                continue
            if is_trusted(root):
                return Project(root)
            warn(
                f"{root} is passed over: it is {_owner_of(root)}'s, and not shared with a group of "
                f"yours; SPROV_DIR={root} takes it all the same"
            )
    raise NotAProjectError(start)


def find_or_new(warn: Callable[[str], None] = warn) -> Project:
    """Find the project; where there is none it is to be made in the working folder.

    Raises:
        SettingsError: There is a `.sprov/` that is not this user's.
        UnavailableError: The working folder was deleted.
    """
    try:
        return find(warn=warn)
    except NotAProjectError:
        root = working_folder() / FOLDER
        if os.path.isdir(root):  # noqa: PTH112  which raises nothing
            raise SettingsError(
                f"no project can be made in {root.parent}: the {FOLDER} there is "
                f"{_owner_of(root)}'s",
                "Work in another folder, or set SPROV_DIR",
            ) from None
        return Project(root)


def working_folder() -> Path:
    """Return the working folder.

    Raises:
        UnavailableError: It was deleted.
    """
    from pathlib import Path

    try:
        return Path.cwd()
    except FileNotFoundError:
        raise UnavailableError("the working folder was deleted") from None


def _owner_of(path: Path) -> str:
    import pwd

    number = path.stat().st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


class Endpoint(msgspec.Struct):
    """A running daemon, as its file in `.sprov/endpoints/` tells those who may use it.

    Tracker and manager each fill in their own part.  What only the tracker may know, its secret
    key, lies beside it (`pllib.trackerkey`).
    """

    tracker: str = ""
    """``tcp://HOST:PORT``, or ``ipc:///FOLDER/tracker.sock``."""
    manager: str = ""
    """``http://HOST:PORT``, ``https://HOST:PORT`` or ``unix:///FOLDER/manager.sock``."""
    token: str = ""
    server_public_key: str = ""
    client_public_key: str = ""
    client_secret_key: str = ""
    certificate: str = ""
    """PEM of the manager's own, if it serves HTTPS: clients trust this one and no other."""
    host: str = ""
    """Of who wrote last; tracker and manager may be on two."""
    tracker_pid: int = 0
    manager_pid: int = 0
    serve_pid: int = 0
    tracker_port: int = 0
    """Of the last tracker, so that the next one can be found by ranks that know it."""
    started: str = ""
    indexes: str = ""
    """`Project.indexes` of the manager, on its host."""
    manager_host: str = ""
    tracker_host: str = ""
    project: str = ""
    """Key of the project that this is of, its path and the inode of that (`pllib.belonging`)."""
    project_path: str = ""
    project_inode: int = 0

    def host_of(self, daemon: str) -> str:
        """Return where the tracker or the manager runs; empty if an earlier version wrote this."""
        return getattr(self, f"{daemon}_host") or self.host


class ForeignEndpointError(UnavailableError):
    """An endpoint file came with a copy of a project, and is of the original's daemons."""

    def __init__(self, path: Path, endpoint: Endpoint) -> None:
        super().__init__(
            f"{path} is of another project, {endpoint.project_path}, of which this is a copy: it "
            "is ignored",
            "`sprov serve` starts daemons of this one",
        )


def read_endpoint(path: Path) -> Endpoint:
    """Read an endpoint file.

    Raises:
        UnavailableError: There is none.
        ForeignEndpointError: It is of another project's daemons.
        SettingsError: It is not an endpoint file.
    """
    try:
        endpoint = msgspec.json.decode(path.read_bytes(), type=Endpoint)
    except FileNotFoundError:
        message = f"no daemon is running here ({path} does not exist)"
        raise UnavailableError(message, "Start one with `sprov serve`") from None
    except (msgspec.DecodeError, UnicodeDecodeError, OSError) as exc:
        raise SettingsError(f"{path} is not a readable endpoint file: {exc}") from exc
    if not belongs(path, endpoint):
        if endpoint.tracker or endpoint.manager:
            raise ForeignEndpointError(path, endpoint)
        return Endpoint()
    keys = endpoint.server_public_key, endpoint.client_public_key, endpoint.client_secret_key
    if endpoint.tracker.startswith("tcp:") and any(
        len(key) != CURVE_KEY_CHARACTERS for key in keys
    ):
        raise SettingsError(f"{path} is not a usable endpoint file: its keys are no CURVE keys")
    return endpoint


def known_endpoint(path: Path) -> Endpoint:
    """Return what an endpoint file says of this project's daemons: nothing if there is none.

    Raises:
        SettingsError: It is not an endpoint file.
    """
    with contextlib.suppress(UnavailableError):
        return read_endpoint(path)
    return Endpoint()


def update_endpoint(path: Path, **fields: str | int) -> Endpoint:
    """Set fields of an endpoint file, under a lock, in one rename that a power cut can't halve.

    One that came with a copy of another project is written anew.

    Raises:
        OSError: It can't be written; it is as it was.
    """
    make_folder(path.parent)
    with _locked(path):
        endpoint = known_endpoint(path)
        for name, value in {**fields, **stamp(path)}.items():
            setattr(endpoint, name, value)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        fd = open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(endpoint)))
                file.flush()
                os.fsync(fd)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    return endpoint


def remove_endpoint(path: Path, is_left: Callable[[Endpoint], bool]) -> bool:
    """Remove an endpoint file and its keys; return whether that was done.

    Args:
        is_left: Tells of what the file says now whether no daemon needs it.

    Raises:
        OSError: It can't be removed.
    """
    if not path.exists():
        return False
    with _locked(path):
        if not is_left(known_endpoint(path)):
            return False
        for suffix in (".json", OWNERS_ALONE, ".lock"):
            path.with_suffix(suffix).unlink(missing_ok=True)
        return True


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of an endpoint file, which is removed with it."""
    import fcntl

    name = path.with_suffix(".lock")
    while True:
        with open(open_file(name, os.O_RDWR | os.O_CREAT), "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock.fileno()), name.stat()):
                    yield
                    return


def leave_endpoint(path: Path, **fields: str | int) -> None:
    """Clear fields of an endpoint file at a daemon's end.

    On a full disk they stay: that the process is gone is seen by its id.
    """
    with contextlib.suppress(OSError):
        update_endpoint(path, **fields)


def choose_endpoint(project: Project, environ: Mapping[str, str]) -> Path | None:
    """Return the endpoint file to use, or None.

    In order: `SPROV_ENDPOINT` (a path, or a name), the Slurm job's, ``local``, the only one.
    One of another project is chosen only if there is no other: who reads it says so.
    """
    from pathlib import Path

    if chosen := environ.get("SPROV_ENDPOINT"):
        return Path(chosen) if "/" in chosen else project.endpoint(chosen)
    names = [name for name in (environ.get("SLURM_JOB_ID"), "local") if name]
    named = [path for path in map(project.endpoint, names) if path.exists()]
    for path in named:
        if not is_foreign(path):
            return path
    # Only now: a project may have hundreds, each to be read, and a rank looks before it starts.
    files = sorted(project.endpoints.glob("*.json")) if project.endpoints.is_dir() else []
    ours = [path for path in files if path not in named and not is_foreign(path)]
    if not ours and named:
        return named[0]
    ours = ours or files
    return ours[0] if len(ours) == 1 else None


def is_foreign(path: Path) -> bool:
    """Tell whether an endpoint file is of another project's daemons."""
    try:
        read_endpoint(path)
    except ForeignEndpointError:
        return True
    except Error:
        return False
    return False
