"""Capture, and come to one end or another.

    ends.py END LEDGER

Each call that returned adds a line ``WHO NUMBER`` to LEDGER, where WHO is the name of its session.
What is printed must not depend on whether records are kept.
"""

import atexit
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pllib

LEDGER = ""
PAUSE_S = 0.001
"""Of those who capture until they are ended, so that they don't make what is read back longer."""


class Steps:
    """A session of its own, and its calls that returned."""

    def __init__(self, who: str) -> None:
        self.who = who
        self.session = pllib.open(study="ends", name=who, run=f"{who}-{os.getpid()}")
        self._ledger = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._number = 0

    def capture(self, count: int) -> None:
        for _ in range(count):
            number, self._number = self._number, self._number + 1
            with self.session.transformation("step", used={"n": number, "who": self.who}):
                pass
            if not getattr(self.session, "lost", None):
                os.write(self._ledger, f"{self.who} {number}\n".encode())


def default_sigterm(who: str) -> None:
    steps = Steps(who)
    steps.capture(50)
    os.kill(os.getpid(), signal.SIGTERM)
    steps.capture(1000)


def own_sigterm(who: str) -> None:
    steps = Steps(who)

    def handle(*_: Any) -> None:
        print("handled", flush=True)
        steps.capture(5)
        sys.exit(3)

    signal.signal(signal.SIGTERM, handle)
    steps.capture(50)
    os.kill(os.getpid(), signal.SIGTERM)
    steps.capture(1000)


def slow_sigterm(who: str) -> None:
    """It is still at work when KillWait is over."""
    steps = Steps(who)

    def handle(*_: Any) -> None:
        print("handled", flush=True)
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
        while True:
            steps.capture(1)
            time.sleep(PAUSE_S)

    signal.signal(signal.SIGTERM, handle)
    steps.capture(50)
    os.kill(os.getpid(), signal.SIGTERM)


def exit_at_once(who: str) -> None:
    Steps(who).capture(50)
    os._exit(7)


def abort(who: str) -> None:
    Steps(who).capture(50)
    os.abort()


def interrupt(who: str) -> None:
    steps = Steps(who)
    steps.capture(50)
    threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT)).start()
    while True:
        steps.capture(1)


def raise_error(who: str) -> None:
    with Steps(who).session as session, session.transformation("fails"):
        raise ValueError("in a block")


def raise_in_hook(who: str) -> None:
    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        print("hook", kind.__name__)
        raise RuntimeError("in the hook")

    sys.excepthook = hook
    Steps(who).capture(50)
    raise ValueError("not caught")


def raise_at_exit(who: str) -> None:
    def fail() -> None:
        raise RuntimeError("at exit")

    atexit.register(fail)
    Steps(who).capture(50)
    atexit.register(fail)
    sys.exit(4)


def capture_at_exit(who: str) -> None:
    """What was registered before the session was opened runs after it was closed."""
    later: list[Steps] = []
    atexit.register(lambda: later[0].capture(5))
    later.append(Steps(who))
    atexit.register(lambda: later[0].capture(5))
    later[0].capture(50)


def exit_in_thread(who: str) -> None:
    steps = Steps(who)

    def work() -> None:
        with steps.session.transformation("leaves"):
            steps.capture(50)
            sys.exit(5)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    steps.capture(50)


def daemon_threads(who: str) -> None:
    """They go on capturing while the interpreter shuts down."""
    steps = [Steps(who)]
    steps += [_another(steps[0], nth) for nth in range(3)]

    def work(mine: Steps) -> None:
        while True:
            mine.capture(1)

    for mine in steps[1:]:
        threading.Thread(target=work, args=(mine,), daemon=True).start()
    time.sleep(0.1)


def _another(steps: Steps, nth: int) -> Steps:
    """Return numbers of its own for another thread of one session."""
    mine = Steps.__new__(Steps)
    mine.__dict__.update(steps.__dict__, _number=nth * 10_000_000)
    return mine


def run_again(who: str) -> None:
    """Become another program, in the same process."""
    Steps(who).capture(50)
    os.execv(sys.executable, [sys.executable, __file__, "default_sigterm", LEDGER, f"{who}-again"])


def fork(who: str) -> None:
    steps = Steps(who)
    steps.capture(20)
    child = os.fork()
    if child == 0:
        with steps.session.transformation("not ours"):
            pass
        Steps(f"{who}-child").capture(30)
        sys.exit(6)
    _, status = os.waitpid(child, 0)
    print("child", os.waitstatus_to_exitcode(status))
    steps.capture(20)


def _work(who: str, ledger: str, steps: Steps | None) -> None:
    global LEDGER
    LEDGER = ledger
    if steps is not None:
        with steps.session.transformation("not ours"):
            pass
    Steps(who).capture(30)


def _processes(who: str, method: str) -> None:
    steps = Steps(who)
    steps.capture(20)
    context: Any = multiprocessing.get_context(method)
    inherited = steps if method == "fork" else None
    children = [
        context.Process(target=_work, args=(f"{who}-{nth}", LEDGER, inherited)) for nth in range(2)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
        print("child", child.exitcode)
    steps.capture(20)


def processes_fork(who: str) -> None:
    _processes(who, "fork")


def processes_spawn(who: str) -> None:
    _processes(who, "spawn")


def processes_forkserver(who: str) -> None:
    _processes(who, "forkserver")


def data_loader(who: str) -> None:
    """Workers that capture in a session of their own, and workers that do not know of any."""
    from torch.utils.data import DataLoader, Dataset, get_worker_info

    class Numbers(Dataset[int]):
        def __init__(self, steps: Steps | None) -> None:
            self.steps = steps
            self.mine: Steps | None = None

        def __len__(self) -> int:
            return 40

        def __getitem__(self, nth: int) -> int:
            info = get_worker_info()
            if self.steps is not None and info is not None:
                if self.mine is None:
                    self.mine = Steps(f"{who}-{info.id}")
                self.mine.capture(1)
            return nth

    steps = Steps(who)
    for dataset in (Numbers(steps), Numbers(None)):
        loader = DataLoader(dataset, batch_size=4, num_workers=2, multiprocessing_context="fork")
        for batch in loader:
            steps.capture(1)
            print(batch.tolist())


def abort_all_ranks(who: str) -> None:
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    steps = Steps(f"{who}-{world.Get_rank()}")
    steps.capture(50)
    world.Barrier()
    if world.Get_rank() == 1:
        world.Abort(9)
    while True:
        steps.capture(1)
        time.sleep(PAUSE_S)


ENDS: dict[str, Callable[[str], None]] = {
    end.__name__: end
    for end in (
        default_sigterm, own_sigterm, slow_sigterm, exit_at_once, abort, interrupt, raise_error,
        raise_in_hook, raise_at_exit, capture_at_exit, exit_in_thread, daemon_threads, run_again,
        fork, processes_fork, processes_spawn, processes_forkserver, data_loader, abort_all_ranks,
    )
}  # fmt: skip

if __name__ == "__main__":
    LEDGER = sys.argv[2]
    ENDS[sys.argv[1]](sys.argv[3] if len(sys.argv) > 3 else sys.argv[1])
