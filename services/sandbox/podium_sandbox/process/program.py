"""The last step inside the walls: run a program as `__main__` and end as the interpreter would."""

import atexit
import io
import linecache
import os
import random
import sys
import threading
import traceback
import types
from typing import Any

FILENAME = "program.py"
MEMORY_NOTE = b"memory\n"
FRAMES = 50


def standard_streams() -> None:
    """Fresh text streams on descriptors 0 to 2. Each line goes out at once, so that a stop loses none."""

    def writer(descriptor: int) -> io.TextIOWrapper:
        raw = io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False))
        return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)

    stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    for name, stream in (("stdin", stdin), ("stdout", writer(1)), ("stderr", writer(2))):
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def execute(code: str, note: int) -> int:
    """Run the code; returns the exit status. A MemoryError that nobody caught is told to `note` (a descriptor)."""
    random.seed()
    if (numpy_random := sys.modules.get("numpy.random")) is not None:
        numpy_random.seed()  # or each program would draw what the zygote's copy draws
    main = types.ModuleType("__main__")
    main.__dict__["__file__"] = FILENAME
    sys.modules["__main__"] = main
    sys.argv = [FILENAME]
    sys.path[0:0] = [os.getcwd()]
    # Without a file to read, tracebacks take the source from here.
    linecache.cache[FILENAME] = (len(code), None, code.splitlines(keepends=True), FILENAME)
    status = _guarded(code, main.__dict__, note)
    try:
        # What the interpreter does at its end: wait for threads, then call the exit functions.
        threading._shutdown()  # pyright: ignore
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
    except BaseException:  # noqa: BLE001  # the program's own exit functions may raise anything
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            status = status or 120  # what the interpreter answers when it cannot flush
    return status


def _guarded(code: str, namespace: dict[str, Any], note: int) -> int:
    try:
        exec(compile(code, FILENAME, "exec", dont_inherit=True), namespace)
    except SystemExit as stop:
        return _exit_status(stop)
    except BaseException as error:  # noqa: BLE001  # whatever the program raised is its result
        if isinstance(error, MemoryError):
            os.write(note, MEMORY_NOTE)
        if error.__traceback__ is not None:
            error.__traceback__ = error.__traceback__.tb_next  # without this function's own frame
        try:
            _shorten(error)
            traceback.print_exception(error)
        except BaseException:  # noqa: BLE001  # a __str__ that fails, memory still short
            os.write(2, f"{type(error).__name__} (its traceback could not be printed)\n".encode())
        return 1
    return 0


def _exit_status(stop: SystemExit) -> int:
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code & 0xFF
    print(stop.code, file=sys.stderr)
    return 1


def _shorten(error: BaseException | None) -> None:
    """Leave the outermost and innermost frames of deep tracebacks: printing a million takes longer than the program."""
    for _ in range(10):
        if error is None:
            return
        frames: list[types.TracebackType] = []
        at = error.__traceback__
        while at is not None:
            frames.append(at)
            at = at.tb_next
        if len(frames) > 2 * FRAMES:
            frames[FRAMES - 1].tb_next = frames[-FRAMES]
        error = error.__cause__ or error.__context__
