"""The end of a program, as the interpreter's: threads, exit functions, objects, files, status.

Finalising the interpreter itself would take tens of milliseconds to destroy libraries that no program owns, so only
what the program made is destroyed. Nothing here is a limit: a program that does not end is ended from outside.
Functions are taken from their modules before a program can replace them.
"""

import atexit
import contextlib
import ctypes
import io
import sys
import threading
import traceback
from collections.abc import Collection
from gc import collect, get_objects
from os import _exit
from typing import Any, NoReturn

CANNOT_FLUSH = 120
"""The interpreter's status where stdout or stderr could not take what was left."""

_WRITERS = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


def end(status: int, preloaded: Collection[str]) -> NoReturn:
    """End this process with `status`. preloaded: names of the modules that were there before the program.

    The caller must hold no reference to what the program made, or its files and `__del__` outlive this.
    """
    try:
        sys.settrace(None)
        sys.setprofile(None)
        try:
            threading._shutdown()  # pyright: ignore
            atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
        except BaseException:  # noqa: BLE001  # the program's own exit functions may raise anything
            _print_exception()
        threading.excepthook = _silence  # daemon threads go on for a moment, among objects that vanish
        if not _flush_streams():
            status = CANNOT_FLUSH
        _destroy(preloaded)
        _flush_streams()  # the interpreter does not report their failure either, as sys is cleared by then
        ctypes.CDLL(None).fflush(None)  # what C code printed
    except BaseException:  # noqa: BLE001  # a signal handler of the program's
        _print_exception()
    finally:
        _exit(status)


def _flush_streams() -> bool:
    flushed = True
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name, None)
        if stream is None:
            continue
        with contextlib.suppress(Exception):
            if stream.closed:
                continue
        try:
            stream.flush()
        except BaseException:  # noqa: BLE001  # the stream may be an object of the program's
            flushed = False
    return flushed


def _destroy(preloaded: Collection[str]) -> None:
    """Let go of the program's modules, then close the files that something else still holds."""
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__  # pyright: ignore
    for name in [*sys.modules]:
        if name == "__main__" or name not in preloaded:
            sys.modules.pop(name, None)
    _flush_files()  # the collector may close a file before the text that goes into it
    collect()
    _flush_files()


def _flush_files() -> None:
    files: list[Any] = [item for item in get_objects() if isinstance(item, _WRITERS)]
    for file in sorted(files, key=lambda file: not isinstance(file, io.TextIOWrapper)):  # text goes into the others
        with contextlib.suppress(Exception):
            file.flush()


def _silence(_: object) -> None:
    pass


def _print_exception() -> None:
    with contextlib.suppress(BaseException):
        if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]
            traceback.print_exc()
