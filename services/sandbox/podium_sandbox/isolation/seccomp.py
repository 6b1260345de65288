"""A system call filter through libseccomp: no sockets, no access to other processes, no rare kernel interfaces."""

import ctypes
import errno
import os
from collections.abc import Iterable
from functools import cache

LIBRARY = "libseccomp.so.2"
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_NE = 1
_MASKED_EQ = 7

CLONE_THREAD = 0x00010000
CLONE_FILES = 0x00000400
CLONE_NAMESPACES = tuple(1 << bit for bit in (17, 25, 26, 27, 28, 29, 30))

_DENIED = """
    socket connect bind listen accept accept4
    ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_open pidfd_getfd
    pidfd_send_signal move_pages migrate_pages get_robust_list
    io_uring_setup io_uring_enter io_uring_register bpf perf_event_open userfaultfd fanotify_init lookup_dcookie
    keyctl add_key request_key
    mount umount2 pivot_root chroot unshare setns open_tree move_mount fsopen fsmount fsconfig fspick mount_setattr
    open_by_handle_at name_to_handle_at quotactl quotactl_fd swapon swapoff acct syslog
    kexec_load kexec_file_load init_module finit_module delete_module create_module reboot
    iopl ioperm modify_ldt vm86 vm86old personality sethostname setdomainname settimeofday clock_settime
    clock_adjtime adjtimex vhangup nfsservctl uselib
    memfd_create memfd_secret shmget shmat shmctl msgget msgsnd msgrcv msgctl semget semop semctl semtimedop mq_open
"""
DENIED = tuple(_DENIED.split())
"""memfd and System V memory are refused because neither the file limits nor the memory watch would see them."""

SAME_USER = ("tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "fork", "vfork", "sendmsg", "sendmmsg")
"""Refused besides where the program shares user id and process numbers with the service, and its files are counted:
the last two can put open files where none would see them."""

_FCNTL_SIGNALS = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: they make the kernel signal another process
_IOCTL_SIGNALS = (0x8901, 0x8902)  # FIOSETOWN, SIOCSPGRP: the same
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_IOCTL_TERMINAL = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: typing into a terminal


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


@cache
def _library() -> ctypes.CDLL:
    lib = ctypes.CDLL(LIBRARY, use_errno=True)
    lib.seccomp_init.restype = ctypes.c_void_p
    lib.seccomp_init.argtypes = [ctypes.c_uint32]
    lib.seccomp_load.argtypes = [ctypes.c_void_p]
    lib.seccomp_release.argtypes = [ctypes.c_void_p]
    lib.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    lib.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    ]
    return lib


def preload() -> None:
    """Load the library while its file can still be read. Raises OSError where it is not installed."""
    _library()


class _Filter:
    def __init__(self) -> None:
        self._lib = _library()
        self._context = self._lib.seccomp_init(_ALLOW)
        if not self._context:
            raise OSError(errno.ENOMEM, "seccomp_init failed")

    def refuse(self, name: str, *when: tuple[int, int, int, int], error: int = errno.EPERM) -> None:
        """Answer `error` to a call, always or when all comparisons (argument, operator, a, b) hold."""
        number = self._lib.seccomp_syscall_resolve_name(name.encode())
        if number == -1:  # libseccomp, older than the call, cannot name it
            return
        comparisons = (_Comparison * max(1, len(when)))(*(_Comparison(*w) for w in when))
        result = self._lib.seccomp_rule_add_array(self._context, _ERRNO | error, number, len(when), comparisons)
        if result < 0 and result not in (-errno.EDOM, -errno.EEXIST):  # EDOM: no such call on this architecture
            raise OSError(-result, f"seccomp rule for {name}: {os.strerror(-result)}")

    def load(self) -> None:
        result = self._lib.seccomp_load(self._context)
        self._lib.seccomp_release(self._context)
        if result < 0:
            raise OSError(-result, f"seccomp_load: {os.strerror(-result)}")


def _refuse_all(rules: _Filter, names: Iterable[str]) -> None:
    for name in names:
        rules.refuse(name)


def install(*, own_processes: bool) -> None:
    """Filter this process and all that come from it; sets no_new_privs.

    own_processes: it has process numbers of its own, so it may start and signal processes. Without them it may start
    threads only, and signal itself only: it would share user id and numbers with the service and other programs.

    Raises:
        OSError: the kernel or the missing library refuses.
    """
    rules = _Filter()
    _refuse_all(rules, DENIED)
    rules.refuse("clone3", error=errno.ENOSYS)  # its flags lie in memory, where no filter can look; libc falls back
    for flag in CLONE_NAMESPACES:
        rules.refuse("clone", (0, _MASKED_EQ, flag, flag))
    for command in _FCNTL_SIGNALS:
        rules.refuse("fcntl", (1, _MASKED_EQ, 0xFFFFFFFF, command))
    for command in (*_IOCTL_SIGNALS, *_IOCTL_TERMINAL):
        rules.refuse("ioctl", (1, _MASKED_EQ, 0xFFFFFFFF, command))
    if not own_processes:
        _refuse_all(rules, SAME_USER)
        rules.refuse("clone", (0, _MASKED_EQ, CLONE_THREAD, 0))
        rules.refuse("clone", (0, _MASKED_EQ, CLONE_FILES, 0))  # a thread whose open files are not its process'
        me = os.getpid()
        for name in ("kill", "tgkill"):
            rules.refuse(name, (0, _NE, me, 0))
        for name in ("prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr"):
            rules.refuse(name, (0, _NE, 0, 0))
        for name in ("setpriority", "ioprio_set"):
            rules.refuse(name, (1, _NE, 0, 0))
        rules.refuse("setpgid", (0, _NE, 0, 0))
        rules.refuse("prctl", (0, _MASKED_EQ, 0xFFFFFFFF, _PR_SET_PDEATHSIG))  # it must not outlive its reaper
        rules.refuse("prctl", (0, _MASKED_EQ, 0xFFFFFFFF, _PR_SET_DUMPABLE))  # or hide its open files
    rules.load()
