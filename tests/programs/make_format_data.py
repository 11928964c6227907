"""Make what `tests/integration/test_upgrade.py` opens: a small project as this version writes it.

make_format_data.py FOLDER

FOLDER is new, such as tests/data/format-2.  It gets ``project/`` (in the place of ``.sprov/``) with
a journal of a raw and a compressed segment, a packed offline log, the spool of a rank that was
killed, store, series and snapshots, and an endpoint file; and ``answers.json``, what commands said
of it before the last two logs were there.  Run it with the version that writes a new format first.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from pllib import log
from pllib.project import update_endpoint
from tracker.journal import Journal

HERE = Path(__file__).parent
SCRIPT = str(Path(sys.executable).with_name("sprov"))
NODE = "node1"
BOOT = "00000000-0000-0000-0000-000000000000"
"""Of no machine: the owner of the spool is gone everywhere."""
QUERIES = {
    "triples": "SELECT (COUNT(*) AS ?n) { ?s ?p ?o }",
    "transformations": "SELECT (COUNT(*) AS ?n) { ?a a provml:DataTransformationExecution }",
    "accuracies": "SELECT ?v { ?e a provml:ModelEvaluation ; prov:value ?v } ORDER BY ?v",
}


def main() -> None:
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as place:
        maker = Maker(Path(place))
        maker.make()
        shutil.copytree(maker.project, folder / "project", symlinks=True)
    text = json.dumps(maker.answers, indent=1)
    (folder / "answers.json").write_text(f"{text}\n")


class Maker:
    """Programs and commands, in a folder that says nothing of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / ".sprov"
        self.answers: dict[str, object] = {}
        self._environment = {
            "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "SPROV_DIR": str(self.project),
            "SPROV_SITE": "format-data", "SLURMD_NODENAME": NODE, "USER": "ada",
            "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}",
        }  # fmt: skip
        (folder / "sitecustomize.py").write_text("import sys; sys.prefix = '/usr'\n")
        for name in ("steps.py", "training.py"):
            shutil.copy(HERE / name, folder)

    def make(self) -> None:
        self._sprov("init")
        self._run("steps.py", "40")
        self._sprov("ingest")
        self._seal()
        self._run("training.py")
        self._sprov("ingest")
        self._ask()
        self._run("steps.py", "7")  # its log waits
        self._kill_rank()
        self._endpoint()
        for pattern in ("**/LOG", "**/LOG.old.*", "**/LOCK", "**/*.lock", "**/lock"):
            for path in self.project.glob(pattern):
                path.unlink()

    def _ask(self) -> None:
        for name, query in QUERIES.items():
            self.answers[name] = self._sprov("query", query, "--format", "csv")
        self.answers["metrics"] = self._sprov("metrics", "@last", "--csv")
        self.answers["verify"] = json.loads(self._sprov("verify", "--format", "json"))

    def _run(self, program: str, *arguments: str) -> None:
        self._start(program, *arguments).wait()

    def _start(self, program: str, *arguments: str, **extra: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, program, *arguments], cwd=self.folder, stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, env={**self._environment, **extra},
        )  # fmt: skip

    def _sprov(self, *arguments: str) -> str:
        done = subprocess.run(
            [SCRIPT, *arguments], cwd=self.folder, env=self._environment, check=True, text=True,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        return done.stdout

    def _seal(self) -> None:
        """Have the journal's segment compressed; the next is not."""
        journal = Journal(self.project / "journal/ingest")
        while journal.seal_next():
            pass
        journal.close()

    def _kill_rank(self) -> None:
        """Leave the spool of a rank that was killed."""
        hang = self.folder / "hang"
        small = {"SPROV_FLUSH_BYTES": "4096", "SPROV_SPOOL_DIR": str(self.project / "spool")}
        rank = self._start("steps.py", "5", "--hang", str(hang), **small)
        while not hang.exists():
            assert rank.poll() is None
            time.sleep(0.05)
        rank.send_signal(signal.SIGKILL)
        rank.wait()
        (spool,) = (self.project / "spool").glob("*.spool")
        _disown(spool)

    def _endpoint(self) -> None:
        """Leave the endpoint file of daemons that have ended."""
        key = "0" * 40
        update_endpoint(
            self.project / "endpoints/local.json", host=NODE, server_public_key=key,
            client_public_key=key, client_secret_key=key, tracker_port=40000,
            started="2026-01-01T00:00:00Z",
        )  # fmt: skip


def _disown(spool: Path) -> None:
    """Make its owner one of a boot that is over, in a project that may move; drop what is free."""
    with log.LogReader(spool) as reader:
        header = reader.header
    owner = msgspec.structs.replace(header.owner, boot_id=BOOT, project="")
    data = spool.read_bytes()
    n_chunks = -(-(len(data.rstrip(b"\0")) - log.HEADER_BYTES) // header.stride)
    rest = data[log.HEADER_BYTES : log.HEADER_BYTES + n_chunks * header.stride]
    spool.write_bytes(log.pack_file_header(msgspec.structs.replace(header, owner=owner)) + rest)


if __name__ == "__main__":
    main()
