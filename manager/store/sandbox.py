"""What a process may do that reads somebody's query: read files, compute, write to open pipes.

A query is read by a parser and an engine that are not proven against hostile ones.  So before it
reads one, the process gives up what it never needs: the network, other processes, writing.  Where a
kernel does not offer that (a container without seccomp, another processor), limits alone hold, and
`Confinement.missing` says so.

Sources: seccomp(2), prctl(2), setrlimit(2), <linux/audit.h>, <linux/bpf_common.h>.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import math
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Machine → column in `_DENIED`, AUDIT_ARCH."""

_ABSENT = -1
_DENIED: dict[str, tuple[int, int]] = {
    # Network: what SERVICE and LOAD would use.
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200),
    "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242), "sendto": (44, 206),
    "sendmsg": (46, 211), "sendmmsg": (307, 269),
    # Programs and processes.
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, _ABSENT), "vfork": (58, _ABSENT),
    # Others' memory, queues, descriptors and signals.
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "shmat": (30, 196), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    # What most ways out of a sandbox went through.
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "open_by_handle_at": (304, 265),
    # Changing files and folders.
    "creat": (85, _ABSENT), "truncate": (76, 45), "unlink": (87, _ABSENT), "unlinkat": (263, 35),
    "rename": (82, _ABSENT), "renameat": (264, 38), "renameat2": (316, 276),
    "mkdir": (83, _ABSENT), "mkdirat": (258, 34), "rmdir": (84, _ABSENT), "link": (86, _ABSENT),
    "linkat": (265, 37), "symlink": (88, _ABSENT), "symlinkat": (266, 36),
    "mknod": (133, _ABSENT), "mknodat": (259, 33), "chmod": (90, _ABSENT), "fchmod": (91, 52),
    "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, _ABSENT), "fchown": (93, 55),
    "lchown": (94, _ABSENT), "fchownat": (260, 54), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15),
    "fremovexattr": (199, 16), "utimensat": (280, 88), "utimes": (235, _ABSENT),
    "utime": (132, _ABSENT), "futimesat": (261, _ABSENT),
}  # fmt: skip
"""Answered with EPERM.  Numbers on x86_64 and aarch64."""

_UNKNOWN = {"clone3": (435, 435), "openat2": (437, 437)}
"""Answered with ENOSYS, as their flags are in memory: glibc falls back to clone and openat."""
_CLONE, _OPEN, _OPENAT = (56, 220), (2, _ABSENT), (257, 56)
_KILL, _TGKILL, _PRLIMIT, _IOCTL = (62, 129), (234, 131), (302, 261), (16, 29)
_CLONE_THREAD = 0x10000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_TIOCSTI = 0x5412
"""Types into the terminal, as if its user did."""
_X32 = 0x40000000
"""Bit of the x32 system calls of x86_64, which have other numbers."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_FILTER = 1, 22, 38, 2

MAX_FILES = 2_048
"""RocksDB keeps at most `manager.store.snapshots.FILE_LIMIT` open."""
OPENING_BYTES = 256 << 20
"""RocksDB (of pyoxigraph 0.5.13) takes 16 threads, and so 128 MiB of stacks, to open a store."""
_SPARE_CPU_S = 1


class Limits(msgspec.Struct, array_like=True, frozen=True):
    """Of one query."""

    timeout_s: float
    memory_bytes: int
    """Beyond what its process takes without a query."""
    rows: int
    """Of a table; of a graph, its lines."""
    answer_bytes: int


class Wording(NamedTuple):
    """How it is told that what a confined process does was stopped."""

    subject: str
    """What it does."""
    less: str
    """What helps: to have it do less."""
    late: str
    """What helps when its time is over."""


QUERY = Wording("the query", "Ask less", "Raise --timeout, or ask less")


class Confinement:
    """What holds for this process from now on, and for each query that it reads."""

    def __init__(self) -> None:
        """Confine this process.  It has a single thread; those that it makes are confined too.

        What it prints is lost: an engine that dies says nothing that `ended` does not.
        """
        with Path(os.devnull).open("w") as nothing:
            os.dup2(nothing.fileno(), 2)
        self._prefer_to_die()
        for limit, most in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_NOFILE, MAX_FILES),
        ):
            hard = resource.getrlimit(limit)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(limit, (most, most))
        self._own_bytes = _data_bytes() + OPENING_BYTES
        self.missing = _filter_calls()
        """Why system calls are not filtered; empty if they are."""

    def allow(self, limits: Limits) -> None:
        """Limit the next query: what it takes beyond ends the process, or fails."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu_s = math.ceil(used.ru_utime + used.ru_stime + limits.timeout_s) + _SPARE_CPU_S
        _set_soft(resource.RLIMIT_CPU, cpu_s)
        # Not RLIMIT_AS: malloc reserves 128 MiB of addresses for each of RocksDB's threads.
        _set_soft(resource.RLIMIT_DATA, self._own_bytes + limits.memory_bytes)

    @staticmethod
    def _prefer_to_die() -> None:
        """Go when the parent goes, and before any other when memory runs out."""
        with contextlib.suppress(OSError), Path("/proc/self/oom_score_adj").open("w") as file:
            file.write("1000")
        _libc().prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def ended(status: int, limits: Limits, words: Wording = QUERY) -> tuple[str, str]:
    """Tell why a process ended amid a query, or what else it does.

    Args:
        status: As `subprocess.Popen.returncode`.

    Returns:
        What happened, and what helps.
    """
    if status == -signal.SIGABRT:
        memory = f"{limits.memory_bytes / (1 << 20):,.0f} MiB"
        return f"{words.subject} needs more than {memory} of memory", (
            f"{words.less}, or raise memory_bytes in [query]"
        )
    if status == -signal.SIGXCPU:
        return f"{words.subject} was stopped after {limits.timeout_s:g} s of CPU time", words.less
    name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return f"{words.subject} killed the process that ran it ({name})", "Nest it less, or split it"


def _set_soft(limit: int, most: int) -> None:
    hard = resource.getrlimit(limit)[1]
    resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _data_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[5]
    return int(pages) * resource.getpagesize()


def _filter_calls() -> str:
    """Install the filter of system calls; return why that is not possible, or nothing."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES or sys.maxsize < 2**32:
        return f"system calls are not filtered on {machine}"
    program = b"".join(_program(*_ARCHITECTURES[machine]))
    code = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HP", len(program) // 8, ctypes.addressof(code))
    pointer = ctypes.c_char_p(described)
    libc = _libc()
    for option, *arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0),
        (_PR_SET_SECCOMP, _SECCOMP_FILTER, ctypes.cast(pointer, ctypes.c_void_p).value or 0),
    ):
        if libc.prctl(option, *(ctypes.c_ulong(each) for each in (*arguments, 0, 0))):
            return f"the kernel filters no system calls: {os.strerror(ctypes.get_errno())}"
    return ""


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _program(column: int, architecture: int) -> Iterator[bytes]:
    """Yield instructions: a load of the call's number, and two or more for each rule."""
    denied, allowed = _ERRNO | errno.EPERM, _ALLOW
    yield _instruction(_LOAD, _ARCH)
    yield _instruction(_EQUAL, architecture, if_true=1)
    yield _instruction(_RETURN, denied)
    yield _instruction(_LOAD, _NUMBER)
    if column == 0:
        yield _instruction(_AT_LEAST, _X32, if_false=1)
        yield _instruction(_RETURN, denied)
    for answer, calls in ((denied, _DENIED), (_ERRNO | errno.ENOSYS, _UNKNOWN)):
        for numbers in calls.values():
            if numbers[column] != _ABSENT:
                yield _instruction(_EQUAL, numbers[column], if_false=1)
                yield _instruction(_RETURN, answer)
    me = os.getpid()
    yield from _rule(_CLONE[column], 0, _ANY_BIT, _CLONE_THREAD, allowed, denied)
    yield from _rule(_OPEN[column], 1, _ANY_BIT, _WRITING, denied, allowed)
    yield from _rule(_OPENAT[column], 2, _ANY_BIT, _WRITING, denied, allowed)
    yield from _rule(_IOCTL[column], 1, _EQUAL, _TIOCSTI, denied, allowed)
    for call in (_KILL, _TGKILL):  # abort() signals its own process
        yield from _rule(call[column], 0, _EQUAL, me, allowed, denied)
    yield from _rule(_PRLIMIT[column], 0, _EQUAL, 0, allowed, denied)
    yield _instruction(_RETURN, allowed)


def _rule(call: int, argument: int, test: int, value: int, yes: int, no: int) -> Iterator[bytes]:
    """Yield a call's answers, by a test of the lower half of an argument."""
    if call == _ABSENT:
        return
    yield _instruction(_EQUAL, call, if_false=4)
    yield _instruction(_LOAD, _ARGUMENTS + 8 * argument)
    yield _instruction(test, value, if_false=1)
    yield _instruction(_RETURN, yes)
    yield _instruction(_RETURN, no)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)
