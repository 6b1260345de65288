"""`podium-eval run`: the run's folder is taken, and a segment of it run."""

import sys
from datetime import UTC, datetime

from rich.console import Console

from podium_eval.clock import SystemClock
from podium_eval.commands.check import check_prepared, files, plain_console
from podium_eval.errors import ConfigError
from podium_eval.log.redact import Redactor, secrets_of
from podium_eval.run.build import prepare
from podium_eval.run.folder import RunFolder, RunLocked
from podium_eval.run.segment import Segment
from podium_eval.run.stop import DISK_FULL
from podium_eval.settings.read import Settings


async def run(settings: Settings) -> int:
    """The exit status: 0 all graded, 1 not all.

    Raises:
        ConfigError: bad configuration; nothing was asked.
    """
    redactor = Redactor(secrets_of(settings))
    run_id = settings.run_id or datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    async with prepare(settings, run_id) as prepared:
        if settings.check and not await check_prepared(settings, prepared, plain_console()):
            raise ConfigError(["the check failed (above); repair it, or skip it with --no-check"])
        finding = files(settings.concurrency)
        if finding.status == "failed":
            raise ConfigError([finding.detail])
        folder = RunFolder(settings.runs_dir / run_id, redactor)
        try:
            folder.acquire()
        except RunLocked as error:
            raise ConfigError([str(error)]) from error
        except OSError as error:
            raise ConfigError([f"RUNS_DIR={settings.runs_dir} cannot be written: {error}"]) from error
        try:
            live = Console() if _live(settings) else None
            return await Segment(settings, prepared, folder, redactor, SystemClock(), live).run()
        except OSError as error:
            full = error.errno in DISK_FULL
            print(f"podium-eval: {folder.path}: {'the disk is full' if full else error}", file=sys.stderr)
            return 1
        finally:
            folder.release()


def _live(settings: Settings) -> bool:
    return settings.progress == "live" or (settings.progress == "auto" and sys.stdout.isatty())
