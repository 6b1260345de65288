"""What run and rejudge share: the run's folder, held while they work, and the terminal."""

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console

from podium_eval.errors import ConfigError
from podium_eval.log.console import Terminal
from podium_eval.log.redact import Redactor
from podium_eval.run.folder import RunFolder, RunLocked
from podium_eval.run.stop import unwritable


async def in_folder(path: Path, redactor: Redactor, work: Callable[[RunFolder], Awaitable[int]]) -> int:
    """Do `work` while this process holds the run's folder. Its exit status, or 1 when the folder cannot be written.

    Raises:
        ConfigError: another process holds it, or it cannot be made.
    """
    folder = RunFolder(path, redactor)
    try:
        folder.acquire()
    except RunLocked as error:
        raise ConfigError([str(error)]) from error
    except OSError as error:
        raise ConfigError([f"RUNS_DIR={path.parent} cannot be written: {error}"]) from error
    try:
        return await work(folder)
    except OSError as error:
        print(f"podium-eval: {unwritable(path, error)}", file=sys.stderr)
        return 1
    finally:
        folder.release()


def terminal(progress: str = "lines") -> Terminal:
    """The terminal of this process, by PROGRESS: a live bar, or lines whose colour NO_COLOR turns off."""
    live = progress == "live" or (progress == "auto" and sys.stdout.isatty())
    return Terminal(colour="NO_COLOR" not in os.environ, live=Console() if live else None)
