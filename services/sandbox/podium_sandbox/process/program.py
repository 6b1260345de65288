"""The last step inside the isolation: run a program as `__main__` and end as the interpreter would."""

import linecache
import os
import random
import re
import sys
import traceback
import types
from typing import Any, NoReturn

from podium_sandbox.process import ending, streams

FILENAME = "program.py"
MEMORY_NOTE = b"memory\n"
FRAMES = 50
_PARSES = re.compile(r"\b(?:compile|eval|exec)\(")


def write_source(code: bytes) -> None:
    """Put the program into the working folder, for `open(__file__)` and processes that import it anew."""
    with open(FILENAME, "wb") as file:
        file.write(code)


def execute(code: str, note: int) -> NoReturn:
    """Run the code and end this process. An uncaught MemoryError is written to `note` (a descriptor)."""
    random.seed()
    if (numpy_random := sys.modules.get("numpy.random")) is not None:
        numpy_random.seed()  # or each program would draw what the zygote's copy draws
    preloaded = frozenset(sys.modules)
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.modules["__main__"].__dict__["__file__"] = os.path.abspath(FILENAME)
    sys.argv = [FILENAME]
    sys.path[0:0] = [os.getcwd()]
    # Tracebacks take the source from here, even when the file is changed or deleted.
    linecache.cache[FILENAME] = (len(code), None, code.splitlines(keepends=True), FILENAME)
    ending.end(_guarded(code, note), preloaded)


def _guarded(code: str, note: int) -> int:
    try:
        compiled = compile(code, FILENAME, "exec", dont_inherit=True)
    except BaseException as error:  # noqa: BLE001  # no valid program, or one nested too deeply for the parser
        _explain_parser(error)
        _report(error)
        return 1
    try:
        exec(compiled, sys.modules["__main__"].__dict__)
    except SystemExit as stop:
        return _exit_status(stop)
    except BaseException as error:  # noqa: BLE001  # whatever the program raised is its result
        if isinstance(error, MemoryError):
            if _is_parsers(error):
                _explain_parser(error)
            else:
                os.write(note, MEMORY_NOTE)
        _report(error)
        return 1
    return 0


def _is_parsers(error: MemoryError) -> bool:
    """Whether compile, eval or exec raised it: for text that it could not parse, as nothing ran below them."""
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    return bool(frames) and _PARSES.search(frames[0].line or "") is not None


def _explain_parser(error: BaseException) -> None:
    if isinstance(error, MemoryError):
        error.add_note("The parser gave up: the text is nested too deeply.")


def _report(error: BaseException) -> None:
    """Print a traceback without our own frames, as the interpreter does or as the program's excepthook does."""
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next
    try:
        _without_streams(error.__traceback__)
        _shorten(error)
        if sys.excepthook is not sys.__excepthook__:
            sys.excepthook(type(error), error, error.__traceback__)
        elif sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]
            traceback.print_exception(error)
    except BaseException:  # noqa: BLE001  # a __str__ that fails, memory still short
        os.write(2, f"{type(error).__name__} (its traceback could not be printed)\n".encode())


def _without_streams(traceback: types.TracebackType | None) -> None:
    """Cut the frames of our own streams, which failed where the interpreter's would have none."""
    while traceback is not None:
        if traceback.tb_next is not None and traceback.tb_next.tb_frame.f_code.co_filename == streams.__file__:
            traceback.tb_next = None
        traceback = traceback.tb_next


def _exit_status(stop: SystemExit) -> int:
    code: Any = stop.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    try:
        if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]
            print(code, file=sys.stderr)
    except BaseException:  # noqa: BLE001  # a closed stream, a __str__ that fails
        os.write(2, b"SystemExit (its message could not be printed)\n")
    return 1


def _shorten(error: BaseException | None) -> None:
    """Leave the outermost and innermost frames of deep tracebacks: printing a million takes longer than the program."""
    for _ in range(10):
        if error is None:
            return
        frames: list[types.TracebackType] = []
        frame = error.__traceback__
        while frame is not None:
            frames.append(frame)
            frame = frame.tb_next
        if len(frames) > 2 * FRAMES:
            frames[FRAMES - 1].tb_next = frames[-FRAMES]
        error = error.__cause__ or error.__context__
