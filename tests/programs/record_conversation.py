"""Record what a rank and a tracker of this version say to each other, for `test_protocol.py`.

record_conversation.py FOLDER COUNT

FOLDER/conversation.json gets the messages of a rank that captures COUNT transformations, in the
order in which its socket sent and received them, and what each kind of record has in this version.
Run it once with a version whose messages differ, so that later ones go on understanding them; its
packages come from PYTHONPATH.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

import zmq

SURROUNDINGS = {
    "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "SPROV_SITE": "format-data", "USER": "ada",
    "SLURMD_NODENAME": "node1", "SPROV_CLOSE_TIMEOUT_S": "60", "SPROV_RUN": "format-data",
    "SPROV_FLUSH_BYTES": "4096",
}  # fmt: skip
TRACKER = "import sys; from sprov.cli import main; sys.argv = ['sprov', 'tracker', 'serve']; main()"

messages: list[dict[str, Any]] = []


def main() -> None:
    folder, count = Path(sys.argv[1]).absolute(), sys.argv[2]
    steps = Path(__file__).with_name("steps.py")
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        Path("steps.py").write_text(steps.read_text())
        kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        os.environ.clear()
        os.environ.update({**SURROUNDINGS, **kept, "SPROV_DIR": f"{place}/.sprov"})
        tracker = subprocess.Popen([sys.executable, "-c", TRACKER])
        try:
            while not Path(".sprov/endpoints/local.json").exists():
                time.sleep(0.05)
            listen_in()
            sys.argv, sys.prefix = ["steps.py", count], "/usr"
            sys.path.insert(0, place)
            import steps as program  # type: ignore[import-not-found]

            program.main()
        finally:
            tracker.terminate()
            tracker.wait()
            os.chdir("/")
    text = json.dumps({"messages": messages, "records": record_fields()}, indent=1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "conversation.json").write_text(f"{text}\n")


def listen_in() -> None:
    """Have every DEALER of this process noted."""
    send, receive = zmq.Socket.send_multipart, zmq.Socket.recv_multipart

    def sending(socket: Any, parts: Any, *more: Any, **options: Any) -> Any:
        result = send(socket, parts, *more, **options)
        note(socket, "rank", parts)
        return result

    def receiving(socket: Any, *more: Any, **options: Any) -> Any:
        parts = receive(socket, *more, **options)
        note(socket, "tracker", parts)
        return parts

    zmq.Socket.send_multipart, zmq.Socket.recv_multipart = sending, receiving


def note(socket: Any, speaker: str, parts: Any) -> None:
    if socket.type == zmq.DEALER:
        encoded = [base64.b64encode(bytes(part)).decode() for part in parts]
        messages.append({"from": speaker, "parts": encoded})


def record_fields() -> dict[str, list[str]]:
    """Return the fields of each kind of record, in the order in which they are encoded."""
    from pllib.records import AnyRecord

    kinds = sorted(get_args(AnyRecord), key=lambda kind: kind.__struct_config__.tag)
    return {kind.__name__: list(kind.__struct_fields__) for kind in kinds}


if __name__ == "__main__":
    main()
