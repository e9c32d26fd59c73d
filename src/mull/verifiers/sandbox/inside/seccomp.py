"""The system calls a program may make, as a BPF filter of our own. An allow-list: the rest fails.

Numbers are the kernel's (`asm/unistd.h`); the layout is `linux/filter.h` and `linux/seccomp.h`.
"""

import ctypes
import errno
import platform
import struct
import sys
from collections.abc import Sequence
from typing import Final

PR_SET_NO_NEW_PRIVS: Final = 38
PR_SET_SECCOMP: Final = 22
_FILTER_MODE: Final = 2

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_ANY_BIT: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_JUMP_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_RETURN: Final = 0x06

_ALLOW: Final = 0x7FFF0000
_KILL: Final = 0x80000000
_ERRNO: Final = 0x00050000

_X32_BIT: Final = 0x40000000
_ARGUMENT_OFFSET: Final = 16
_THREAD_FLAGS: Final = 0x00010100  # CLONE_THREAD | CLONE_VM
_OPEN_TO_CHANGE: Final = 0o3 | 0o100 | 0o1000 | 0o20000000  # write, O_CREAT, O_TRUNC, O_TMPFILE

_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ALLOWED: Final = {
    "x86_64": (
        # read write close stat fstat lstat poll lseek mmap mprotect munmap brk
        *(0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
        # rt_sigaction rt_sigprocmask rt_sigreturn pread64 readv writev access pipe select
        *(13, 14, 15, 17, 19, 20, 21, 22, 23),
        # sched_yield mremap madvise dup dup2 nanosleep getitimer alarm setitimer getpid
        *(24, 25, 28, 32, 33, 35, 36, 37, 38, 39),
        # exit uname fcntl getcwd readlink gettimeofday getrlimit getrusage sysinfo times
        *(60, 63, 72, 79, 89, 96, 97, 98, 99, 100),
        # getuid getgid geteuid getegid getppid getpgrp sigaltstack gettid time futex
        *(102, 104, 107, 108, 110, 111, 131, 186, 201, 202),
        # sched_getaffinity getdents64 restart_syscall clock_gettime clock_getres clock_nanosleep
        *(204, 217, 219, 228, 229, 230),
        # exit_group newfstatat readlinkat faccessat pselect6 ppoll set_robust_list dup3 pipe2
        *(231, 262, 267, 269, 270, 271, 273, 292, 293),
        # getrandom membarrier statx rseq faccessat2
        *(318, 324, 332, 334, 439),
    ),
    "aarch64": (
        # getcwd dup dup3 fcntl faccessat pipe2 getdents64 lseek read write readv writev pread64
        *(17, 23, 24, 25, 48, 59, 61, 62, 63, 64, 65, 66, 67, 57),
        # pselect6 ppoll readlinkat newfstatat fstat exit exit_group futex set_robust_list nanosleep
        *(72, 73, 78, 79, 80, 93, 94, 98, 99, 101, 102, 103),
        # clock_gettime clock_getres clock_nanosleep restart_syscall sched_getaffinity sched_yield
        *(113, 114, 115, 128, 123, 124),
        # sigaltstack rt_sigaction rt_sigprocmask rt_sigreturn times uname getrlimit getrusage
        *(132, 134, 135, 139, 153, 160, 163, 165, 169),
        # getpid getppid getuid geteuid getgid getegid gettid sysinfo brk munmap mremap mmap
        *(172, 173, 174, 175, 176, 177, 178, 179, 214, 215, 216, 222, 226, 233),
        # getrandom membarrier statx rseq faccessat2
        *(278, 283, 291, 293, 439),
    ),
}
# name: (number, index of the argument that is looked at)
_OPENAT: Final = {"x86_64": 257, "aarch64": 56}
_OPEN: Final = {"x86_64": 2}
_IOCTL: Final = {"x86_64": 16, "aarch64": 29}
_CLONE: Final = {"x86_64": 56, "aarch64": 220}
_CLONE3: Final = 435
_PRLIMIT: Final = {"x86_64": 302, "aarch64": 261}

Instruction = tuple[int, int, int, int]


def is_supported() -> bool:
    """Whether this is Linux on a processor whose numbers of system calls are known here."""
    return sys.platform == "linux" and platform.machine() in _ARCHITECTURES


def program_filter(machine: str) -> bytes:
    """The filter for a program: it may compute, read and write open files, and start threads.

    It may not open a file to change it, start a process, make a socket, signal, trace, mount, or
    change permissions, owners, limits or names. What is not listed fails with `EPERM`.
    """
    instructions: list[Instruction] = [
        (_LOAD, 0, 0, 4),
        (_JUMP_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_JUMP_AT_LEAST, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _KILL),
    ]
    for number in _ALLOWED[machine]:
        instructions += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    instructions += _unless_any_bit(_OPENAT[machine], 2, _OPEN_TO_CHANGE, errno.EACCES)
    if machine in _OPEN:
        instructions += _unless_any_bit(_OPEN[machine], 1, _OPEN_TO_CHANGE, errno.EACCES)
    instructions += _only_threads(_CLONE[machine])
    instructions += _only_own_limits(_PRLIMIT[machine])
    # ENOSYS makes glibc fall back to clone; ENOTTY says that no file is a terminal.
    instructions += _always(_CLONE3, _ERRNO | errno.ENOSYS)
    instructions += _always(_IOCTL[machine], _ERRNO | errno.ENOTTY)
    instructions.append((_RETURN, 0, 0, _ERRNO | errno.EPERM))
    return _packed(instructions)


def _always(number: int, outcome: int) -> list[Instruction]:
    return [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, outcome)]


def _unless_any_bit(number: int, argument: int, bits: int, error: int) -> list[Instruction]:
    return [
        (_JUMP_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _ARGUMENT_OFFSET + 8 * argument),
        (_JUMP_ANY_BIT, 0, 1, bits),
        (_RETURN, 0, 0, _ERRNO | error),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _only_threads(number: int) -> list[Instruction]:
    return [
        (_JUMP_EQUAL, 0, 5, number),
        (_LOAD, 0, 0, _ARGUMENT_OFFSET),
        (_AND, 0, 0, _THREAD_FLAGS),
        (_JUMP_EQUAL, 0, 1, _THREAD_FLAGS),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]


def _only_own_limits(number: int) -> list[Instruction]:
    """`prlimit64` on another process is `kill` by another name."""
    return [
        (_JUMP_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _ARGUMENT_OFFSET),
        (_JUMP_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]


def _packed(instructions: Sequence[Instruction]) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def install(filter_bytes: bytes) -> None:
    """Confine this process to the filter, for good. OSError where the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(filter_bytes, len(filter_bytes))
    header = struct.pack("HxxxxxxQ", len(filter_bytes) // 8, ctypes.addressof(buffer))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, _FILTER_MODE, ctypes.create_string_buffer(header, len(header)), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "seccomp refused the filter")
