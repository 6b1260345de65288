"""Services up, eval, analysis, services down."""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from podium_local import specs
from podium_local.guarded import Guarded
from podium_local.ports import free_port, holder, is_taken
from podium_local.settings import LocalSettings
from podium_local.stack import Stack

INTERRUPTED: Final = 130
EVAL_STOP_S: Final = 60.0
"""How long eval may take to end in good order when podium-local itself was killed; its own GRACE_S is shorter."""


class Chain:
    """One run of the whole chain. SIGINT and SIGTERM go to eval, which ends in good order; before it starts and
    after it ended they stop everything."""

    def __init__(
        self,
        settings: LocalSettings,
        environment: Mapping[str, str],
        run_folder: Path,
        eval_options: Sequence[str],
        say: Callable[[str], None],
    ) -> None:
        """`environment` is complete: what all parts together may see, before each gets its own share."""
        self._settings = settings
        self._environment = environment
        self._run_folder = run_folder
        self._eval_options = eval_options
        self._say = say
        self._eval: Guarded | None = None
        self._task: asyncio.Task[int] | None = None
        self._interrupted = False

    async def run(self) -> int:
        """Run it; the exit status is eval's, or analysis' when eval's was 0, or 130 when stopped before eval.

        A run that was interrupted is not analysed.

        Raises:
            ServiceFailed: a service did not come up or could not be kept up.
        """
        loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run())
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt, number)
        try:
            return await self._task
        except asyncio.CancelledError:
            return INTERRUPTED
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _interrupt(self, number: int) -> None:
        self._interrupted = True
        if self._eval is not None and self._eval.returncode is None:
            self._say(f"{signal.Signals(number).name}: passed to eval, which ends in good order; once more ends it now")
            self._eval.signal(number)
        elif self._task is not None:
            self._task.cancel()

    async def _run(self) -> int:
        async with self._stack() as stack, self._live_page():
            status = await self._run_eval(stack)
        self._say(f"services stopped; their logs are in {self._run_folder / 'services'}")
        if status not in (0, 1):
            return status
        if self._interrupted:
            self._say(f"report of what there is: podium-analysis report --run {self._run_folder.name}")
            return status
        report = [sys.executable, "-m", "podium_analysis", "report", "--run", self._run_folder.name]
        analysis = await Guarded.start(report, self._environment, stop_timeout_s=self._settings.local_stop_timeout_s)
        try:
            analysed = await analysis.wait()
        finally:
            await analysis.stop()
        return status or analysed

    @asynccontextmanager
    async def _live_page(self) -> AsyncGenerator[None]:
        """The page beside the run. That it cannot start, or dies, costs the page and not the run."""
        settings = self._settings
        if not settings.local_live:
            yield
            return
        port = free_port() if settings.local_ports == "auto" else settings.live_port or free_port()
        if is_taken(port):
            url = f"http://127.0.0.1:{port}"
            who = await asyncio.to_thread(holder, url)
            self._say(f"no live page: {url} is taken{who}; set LIVE_PORT, or --no-live")
            yield
            return
        own = {**specs.without_keys(self._environment), "LIVE_HOST": "127.0.0.1", "LIVE_PORT": str(port)}
        log = self._run_folder / "services" / "live.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            page = await Guarded.start(
                (sys.executable, "-m", "podium_live", "serve"), own,
                stop_timeout_s=settings.local_stop_timeout_s, output=output,
            )  # fmt: skip
        self._say(f"live page: http://127.0.0.1:{port}/runs/{self._run_folder.name}")
        try:
            yield
        finally:
            await page.stop()

    def _stack(self) -> Stack:
        settings = self._settings
        services = [
            *specs.orchestrators(settings, self._environment),
            specs.retrieval(settings, self._environment),
            specs.sandbox(settings, self._environment),
        ]
        return Stack(
            [spec for spec in services if not spec.reused],
            [spec for spec in services if spec.reused],
            logs=self._run_folder / "services",
            start_timeout_s=settings.local_start_timeout_s,
            stop_timeout_s=settings.local_stop_timeout_s,
            restarts=settings.local_restarts,
            say=self._say,
        )

    async def _run_eval(self, stack: Stack) -> int:
        argv = [sys.executable, "-m", "podium_eval", "run", *self._eval_options]
        self._eval = await Guarded.start(argv, self._environment, stop_timeout_s=EVAL_STOP_S)
        ended = asyncio.create_task(self._eval.wait())
        watch = asyncio.create_task(stack.watch())
        try:
            await asyncio.wait({ended, watch}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return ended.result()
            self._say("a service cannot be kept up: eval is stopped; the same run id goes on where it was")
            await watch  # raises what ended it
            raise AssertionError("watch() returned")
        finally:
            watch.cancel()
            await self._eval.stop()
            await asyncio.gather(ended, watch, return_exceptions=True)
