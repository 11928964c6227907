"""The `.sprov/` folder of a project, found from below as `.git/` is, and its endpoint files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from . import identity
from .errors import NotAProjectError, SettingsError, UnavailableError
from .sharing import is_shared, make_folder, make_one, open_file

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ".sprov"
CURVE_KEY_CHARACTERS = 40
"""In Z85.  Source: zmq_curve(7)."""


class Project(msgspec.Struct, frozen=True):
    """Where things lie; `root` is the `.sprov/` folder itself."""

    root: Path
    indexes: Path | None = None
    """Where store, series and snapshots lie, if not in `root`."""

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    @property
    def endpoints(self) -> Path:
        return self.root / "endpoints"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def journal(self) -> Path:
        """Folder of journals, one sub-folder a job or daemon."""
        return self.root / "journal"

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
        """Tells this project from others, on every node that sees it under the same path."""
        return identity.digest("project", os.path.realpath(self.root))

    def create(self) -> Project:
        """Make the folders that are missing, for the owner alone or for the root's group."""
        self.root.parent.mkdir(parents=True, exist_ok=True)
        make_one(self.root, shared=False)
        shared = is_shared(self.root)
        for folder in (self.endpoints, self.spool, self.journal):
            make_one(folder, shared=shared)
        make_folder(self.snapshots)
        return self


def find(start: Path | None = None, environ: Mapping[str, str] | None = None) -> Project:
    """Find the project: `SPROV_DIR`, else the nearest `.sprov/` at or above `start`.

    Raises:
        NotAProjectError: There is none.
    """
    from pathlib import Path

    environ = os.environ if environ is None else environ
    if chosen := environ.get("SPROV_DIR"):
        return Project(Path(chosen).absolute())
    start = (start or Path.cwd()).absolute()
    for folder in (start, *start.parents):
        if (folder / FOLDER).is_dir():
            return Project(folder / FOLDER)
    raise NotAProjectError(start)


class Endpoint(msgspec.Struct):
    """A running daemon, as its 0600 file in `.sprov/endpoints/` tells it.

    Tracker and manager each fill in their own part.
    """

    tracker: str = ""
    manager: str = ""
    token: str = ""
    server_public_key: str = ""
    server_secret_key: str = ""
    client_public_key: str = ""
    client_secret_key: str = ""
    host: str = ""
    tracker_pid: int = 0
    manager_pid: int = 0
    serve_pid: int = 0
    tracker_port: int = 0
    """Of the last tracker, so that the next one can be found by ranks that know it."""
    started: str = ""
    indexes: str = ""
    """`Project.indexes` of the manager, on its host."""


def read_endpoint(path: Path) -> Endpoint:
    """Read an endpoint file.

    Raises:
        UnavailableError: There is none.
        SettingsError: It is not an endpoint file.
    """
    try:
        endpoint = msgspec.json.decode(path.read_bytes(), type=Endpoint)
    except FileNotFoundError:
        message = f"no daemon is running here ({path} does not exist)"
        raise UnavailableError(message, "Start one with `sprov serve`") from None
    except (msgspec.DecodeError, UnicodeDecodeError, OSError) as exc:
        raise SettingsError(f"{path} is not a readable endpoint file: {exc}") from exc
    keys = endpoint.server_public_key, endpoint.client_public_key, endpoint.client_secret_key
    if endpoint.tracker and any(len(key) != CURVE_KEY_CHARACTERS for key in keys):
        raise SettingsError(f"{path} is not a usable endpoint file: its keys are no CURVE keys")
    return endpoint


def update_endpoint(path: Path, **fields: str | int) -> Endpoint:
    """Set fields of an endpoint file, under a lock, in one rename."""
    import fcntl

    make_folder(path.parent)
    with open(open_file(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        endpoint = read_endpoint(path) if path.exists() else Endpoint()
        for name, value in fields.items():
            setattr(endpoint, name, value)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        fd = open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(endpoint)))
        temporary.replace(path)
    return endpoint


def choose_endpoint(project: Project, environ: Mapping[str, str]) -> Path | None:
    """Return the endpoint file to use, or None.

    In order: `SPROV_ENDPOINT` (a path, or a name), the Slurm job's, ``local``, the only one.
    """
    from pathlib import Path

    if chosen := environ.get("SPROV_ENDPOINT"):
        return Path(chosen) if "/" in chosen else project.endpoints / f"{chosen}.json"
    for name in (environ.get("SLURM_JOB_ID"), "local"):
        if name and (path := project.endpoints / f"{name}.json").exists():
            return path
    files = sorted(project.endpoints.glob("*.json")) if project.endpoints.is_dir() else []
    return files[0] if len(files) == 1 else None
