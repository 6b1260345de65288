"""A podium-eval process, and the folder that it leaves."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from podium_contracts.records import TaskRecord
from podium_eval.run.folder import RunFolder, read_record

from harness.chain import GOLD

LIMIT_S = 60.0
"""No run of a test may take longer: what is still going then hangs."""

_LIMITED = (
    "import os, resource, sys; n = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE, (n, n)); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
)

COUNTING = (
    "import collections, gc, runpy, signal\n"
    "def count(*_):\n"
    "    gc.collect()\n"
    "    alive = collections.Counter(type(o).__name__ for o in gc.get_objects() if 'podium' in type(o).__module__)\n"
    "    print('ALIVE', dict(alive), flush=True)\n"
    "signal.signal(signal.SIGUSR1, count)\n"
    "runpy.run_module('podium_eval', run_name='__main__', alter_sys=True)\n"
)
"""At SIGUSR1 the process says how many objects of Podium's own classes are alive in it."""

QUICK = {
    "RETRY_FIRST_S": "0.01",
    "RETRY_LONGEST_S": "0.05",
    "BREAKER_FIRST_S": "0.05",
    "BREAKER_LONGEST_S": "0.2",
    "BREAKER_WAIT_S": "20",
    "RAMP_MS": "0",
    "SAMPLE_INTERVAL_S": "0",
    "NO_COLOR": "1",
}


class Eval:
    """`podium-eval run` on one run folder; start it as often as wanted.

    address: of the server that is orchestrator, retrieval and sandbox; experts: of the experts, the same if None.
    """

    def __init__(
        self, folder: Path, address: str, dataset: Path, *, experts: str | None = None, **settings: object
    ) -> None:
        self.runs = folder / "runs"
        self.folder = RunFolder(self.runs / "run")
        self._folder = folder
        self._settings = {
            "ORCHESTRATOR_URL": f"{address}/v1",
            "RETRIEVAL_URL": address,
            "SANDBOX_URL": address,
            "EXPERT_DEFAULT": f"vllm/expert@{experts or address}/v1",
            "JUDGE": f"vllm/judge@{experts or address}/v1",
            "DATASET": str(dataset),
            "RUNS_DIR": str(self.runs),
            "RUN_ID": "run",
            "PROTOCOL": "toolorchestra",
            "CHECK": "0",
            **QUICK,
            **{name.upper(): str(value) for name, value in settings.items()},
        }
        self.process: asyncio.subprocess.Process | None = None
        self.lines: list[str] = []
        self._reading: asyncio.Task[None] | None = None
        self._heard = asyncio.Condition()
        self._silent = True

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of the process."""
        return {"PATH": os.environ["PATH"], "HOME": str(self._folder), **self._settings}

    async def start(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        command: str = "run",
        file_limit: int | None = None,
        source: str | None = None,
    ) -> None:
        """Start it; stdout and stderr go to `lines`. file_limit: most bytes of any file that it writes. source:
        a program that runs podium_eval in its own process."""
        start: tuple[str, ...] = ("-m", "podium_eval")
        if file_limit is not None:
            start = ("-c", _LIMITED, str(file_limit), *start)
        elif source is not None:
            start = ("-c", source)
        self.lines = []
        self._silent = False
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, *start, command, *args),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self._folder,
            env={**self.environment, **(env or {})},
            limit=1 << 24,
            preexec_fn=_not_under_nohup,
        )
        self._reading = asyncio.create_task(self._read())

    async def began(self) -> None:
        """Return when the run has said that it begins."""
        await self.says("run run, segment")

    async def says(self, text: str, *, times: int = 1) -> None:
        """Return once so many lines hold `text`.

        Raises:
            AssertionError: it ended without.
        """

        def said() -> bool:
            return sum(text in line for line in self.lines) >= times

        async with asyncio.timeout(LIMIT_S), self._heard:
            await self._heard.wait_for(lambda: self._silent or said())
        assert said(), self.said

    async def ended(self) -> int:
        """Its exit status."""
        assert self.process is not None
        assert self._reading is not None
        try:
            async with asyncio.timeout(LIMIT_S):
                await asyncio.shield(self._reading)  # what the run said is wanted most when it hangs
                return await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self._reading
            raise AssertionError("the run hangs; it said:\n" + "\n".join(self.lines[-20:])) from None

    async def run(self, *args: str, **options: Any) -> int:
        """Start and wait."""
        await self.start(*args, **options)
        return await self.ended()

    async def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        await self.ended()

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    async def _read(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            async with self._heard:
                self.lines.append(line)
                self._heard.notify_all()
        async with self._heard:
            self._silent = True
            self._heard.notify_all()

    def records(self) -> dict[str, TaskRecord]:
        """Finished tasks by id (epoch 1)."""
        found: dict[str, TaskRecord] = {}
        for path in self.folder.tasks.glob("*.json"):
            record = read_record(path.read_bytes())
            assert path.stem == record.key
            assert record.task_id not in found
            found[record.task_id] = record
        return found

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The log; every line must be whole."""
        lines = self.folder.events.read_bytes().split(b"\n")
        assert lines.pop() == b""
        parsed: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [event for event in parsed if kind in (None, event["type"])]


def assert_whole(run: Eval, ids: Sequence[str]) -> None:
    """No task lost, none twice, no wrong grade: what must hold after every fault, once the run was let finish."""
    records = run.records()
    assert sorted(records) == sorted(ids)
    for record in records.values():
        assert record.status == "done"
        assert record.ending == "answered"
        assert record.answer == GOLD
        assert record.correct is True
        assert [turn.step for turn in record.turns] == list(range(1, record.rounds + 1))
    completed = Counter(event["task_id"] for event in run.events("task_complete") if event["status"] == "done")
    assert completed == Counter(ids)
    assert list(run.folder.checkpoints.iterdir()) == []
    assert [path for path in run.folder.tasks.iterdir() if path.suffix != ".json"] == []
    assert run.events()[0]["type"] == "run_start"
    last = run.events()[-1]
    assert (last["type"], last["n_done"], last["n_error"], last["n_left"]) == ("run_end", len(ids), 0, 0)


def _not_under_nohup() -> None:
    """Tests themselves may run under nohup, whose ignored SIGHUP a process hands on to its children."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
