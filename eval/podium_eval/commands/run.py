"""`podium-eval run`: the run's folder is taken, and a segment of it run."""

from datetime import UTC, datetime

from podium_eval.clock import SYSTEM_CLOCK
from podium_eval.commands.check import check_prepared, files, plain_console
from podium_eval.commands.session import in_folder, terminal
from podium_eval.errors import ConfigError
from podium_eval.log.redact import Redactor, secrets_of
from podium_eval.run.folder import RunFolder
from podium_eval.run.plan import prepare
from podium_eval.run.segment import Segment
from podium_eval.settings.read import Settings


def new_run_id() -> str:
    """A run's name where RUN_ID gives none: when it began, in UTC."""
    return datetime.fromtimestamp(SYSTEM_CLOCK.wall(), UTC).strftime("%Y%m%dT%H%M%SZ")


async def run(settings: Settings) -> int:
    """The exit status: 0 all graded, 1 not all.

    Raises:
        ConfigError: bad configuration; nothing was asked.
    """
    redactor = Redactor(secrets_of(settings))
    run_id = settings.run_id or new_run_id()
    async with prepare(settings, run_id, SYSTEM_CLOCK) as prepared:
        if settings.check and not await check_prepared(settings, prepared, plain_console()):
            raise ConfigError(["the check failed (above); repair it, or skip it with --no-check"])
        finding = files(settings.concurrency)
        if finding.status == "failed":
            raise ConfigError([finding.detail])

        async def segment(folder: RunFolder) -> int:
            return await Segment(settings, prepared, folder, redactor, SYSTEM_CLOCK, terminal(settings.progress)).run()

        return await in_folder(settings.runs_dir / run_id, redactor, segment)
