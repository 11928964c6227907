"""Run a job script as the batch shell's only child, and end provenance when it has ended.

It takes the place of the batch shell, so signals for that come here.  Those that Slurm sends to the
batch shell alone (``--signal=B:USR1@60``, ``scancel --batch``) go on to the script; those that it
sends to all processes of the job (`scancel`, the time limit) the script has got by itself.  Which
it was, a child tells that does nothing but wait for signals.  The exit status, or the signal, is
the script's.

It is run as a file by ``python -I -S`` and imports nothing but the standard library.

    guard.py SPROV FOLDER INTERPRETER [ARGUMENT] SCRIPT [ARGUMENT...]

SPROV is the `sprov` command; FOLDER, node-local, is removed at the end.

Source: Slurm 22.05.8: with proctrack all processes get SIGTERM within milliseconds of each other;
SIGKILL comes KillWait later, 30 s by default.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

PASSED_ON = frozenset(
    {
        signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
        signal.SIGALRM, signal.SIGTERM, signal.SIGXCPU, signal.SIGVTALRM, signal.SIGPROF,
        *range(signal.SIGRTMIN, signal.SIGRTMAX + 1),
    }
)  # fmt: skip
"""Signals that end who does not expect them: of the others the waiting child could not tell."""
ALL_WITHIN_S = 0.2
"""In which a signal to all processes has reached them."""
Mask = set[int | signal.Signals]
COMMANDS = ("srun", "sbatch")
"""Those of `slurm.srun_line`."""


def main(sprov: str, folder: str, *command: str) -> None:
    """Run the script, end provenance, and end as the script did."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*PASSED_ON, signal.SIGCHLD})
    script = _start(command, _environment(folder), before)
    status = _wait(script, before)
    if os.environ.get("SPROV_MODE") != "off":  # without a tracker, too, dead ranks leave spools
        _stop(sprov, before)
    shutil.rmtree(folder, ignore_errors=True)
    _end(status)


def _environment(folder: str) -> dict[str, str]:
    """Return the script's environment: its bash finds our commands where it sets PATH anew, too."""
    shim = os.path.join(folder, "bin")  # noqa: PTH118
    if os.environ.get("SPROV_SRUN_SHIM") != shim:
        return dict(os.environ)
    functions = {f"BASH_FUNC_{name}%%": _function(shim, name) for name in COMMANDS}
    return {**os.environ, **functions}


def _function(shim: str, name: str) -> str:
    """Return a function as bash exports it; where ours is gone, it is the command of that name."""
    path = "'" + f"{shim}/{name}".replace("'", "'\\''") + "'"
    return f'() {{  if [ -x {path} ]; then {path} "$@"; else command {name} "$@"; fi\n}}'


def _start(command: tuple[str, ...], environ: dict[str, str], mask: Mask) -> int:
    """Start the script with the signal mask and dispositions that Slurm gave us."""
    pid = os.fork()
    if pid:
        return pid
    try:
        _restore(mask)
        os.execvpe(command[0], command, environ)
    except OSError as exc:
        sys.stderr.write(f"{command[0]}: {exc.strerror}\n")
    finally:
        os._exit(127)


def _restore(mask: Mask) -> None:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these
        signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _canary(mask: Mask) -> int:
    """Start a child that any of `PASSED_ON` ends."""
    pid = os.fork()
    if pid:
        return pid
    try:
        for number in PASSED_ON:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask - PASSED_ON)
        while True:
            signal.pause()
    finally:
        os._exit(0)


def _wait(script: int, mask: Mask) -> int:
    """Wait for the script's end, and pass on what it did not get by itself; return its status."""
    canary = _canary(mask)
    try:
        while True:
            found, status = os.waitpid(script, os.WNOHANG)
            if found:
                return status
            came = signal.sigtimedwait({*PASSED_ON, signal.SIGCHLD}, 5.0)
            if came is None or came.si_signo == signal.SIGCHLD:
                continue
            if _got_it(canary):
                canary = _canary(mask)
            else:
                os.kill(script, came.si_signo)
    finally:
        _kill(canary)


def _got_it(canary: int) -> bool:
    """Tell whether a signal came to all processes; wait a moment for the last of them."""
    deadline = time.monotonic() + ALL_WITHIN_S
    while time.monotonic() < deadline:
        if os.waitpid(canary, os.WNOHANG)[0]:
            return True
        time.sleep(0.01)
    return False


def _kill(canary: int) -> None:
    try:
        os.kill(canary, signal.SIGKILL)
        os.waitpid(canary, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def _stop(sprov: str, mask: Mask) -> None:
    """Collect, and end the tracker if there is one.

    What it says is for people, and the job's output is the script's.
    """
    shim = os.environ.get("SPROV_SRUN_SHIM")
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    environ = {**os.environ, "PATH": os.pathsep.join(f for f in folders if f != shim)}
    try:
        subprocess.run(
            [sprov, "slurm", "stop"], env=environ, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, check=False,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, mask),
        )  # fmt: skip
    except OSError as exc:
        sys.stderr.write(f"sprov: provenance was not ended: {exc.strerror}\n")


def _end(status: int) -> None:
    """End as the script did: by the same signal, so that Slurm records that."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        if -code in PASSED_ON:  # others are as they were, and SIGKILL can't be set
            signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main(*sys.argv[1:])
