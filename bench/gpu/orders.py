"""The orders of turns side by side on one GPU, on the same turns: vLLM's own, depth first, a router's, adaptive.

Four regimes (docs/serving.md): A GPU-bound, B a small cache with 5 s tools, C a cache for a third of the tasks and 10 s
tools, D no contention. Each order meets prompts that no earlier one has left in the cache. The adaptive order is the
product's own (podium_eval.scheduling), in front of vLLM's defaults. A router is fetched into a folder of its own and
stays out of the tree: --router 'python3 -m ThunderAgent --port {port} --backends {backend} --backend-type vllm'.

    python bench/gpu/orders.py --gpu 0 --port 2600 --model DIR --out orders.jsonl --runs D:server,D:adaptive,A:server
    python bench/gpu/orders.py --gpu 0,1,2,3 --port 2700 --model DIR --out replicas.jsonl --replicas
"""

import argparse
import asyncio
import json
import os
import random
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "eval"), str(HERE.parent.parent / "services/contracts")]

import aiohttp  # noqa: E402
import multiturn  # noqa: E402
import variants  # noqa: E402
from podium_eval.clock import SystemClock  # noqa: E402
from podium_eval.scheduling.adaptive import Adaptive  # noqa: E402
from podium_eval.scheduling.admission import Admission, Seat  # noqa: E402
from podium_eval.scheduling.kv_cache import read_kv_tokens  # noqa: E402
from podium_eval.scheduling.order import DepthFirst, ServerOrder, Turn  # noqa: E402


@dataclass(frozen=True)
class Regime:
    """blocks: of 16 tokens in the cache; None: all that the GPU has. exponential: tools' times, else all alike."""

    tasks: int
    at_once: int
    turns: int
    tool_s: float
    exponential: bool
    blocks: int | None


REGIMES = {
    "A": Regime(512, 512, 6, 2.0, False, None),
    "B": Regime(60, 48, 10, 5.0, True, 6400),
    "C": Regime(128, 128, 6, 10.0, True, 18750),
    "D": Regime(48, 48, 6, 5.0, True, None),
}
ORDERS = ("server", "adaptive", "program", "depth_first")


# Random weights would fill a grammar with white space for ever: --then may ask for tool calls.
GRAMMAR = "--structured-outputs-config.backend=xgrammar --structured-outputs-config.disable_any_whitespace=true"


class Client:
    """One order's client: where each task's turns go, and when."""

    def __init__(self, urls: list[str], order: str, regime: Regime, *, least_busy: bool) -> None:
        self.urls = urls
        self.order = order
        self.least_busy = least_busy
        self.in_flight = dict.fromkeys(urls, 0)
        self.homes: dict[int, str] = {}
        self.gates = {url: Admission(self._made(url, regime), SystemClock()) for url in urls}

    def _made(self, url: str, regime: Regime) -> Adaptive | DepthFirst | ServerOrder:
        if self.order == "adaptive":
            with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
                size = read_kv_tokens(answer.read().decode())
            assert size is not None, f"{url} does not tell its cache's size"
            return Adaptive(size, at_once=max(1, regime.at_once // len(self.urls)), longest_wait_s=300)
        return DepthFirst() if self.order == "depth_first" else ServerOrder()

    @asynccontextmanager
    async def seat(self, place: int, tokens: int) -> AsyncIterator[tuple[str, Seat]]:
        if self.least_busy:
            url = min(self.urls, key=self.in_flight.__getitem__)
        else:
            url = self.homes.get(place) or min(self.urls, key=lambda address: self.gates[address].tokens)
            self.homes[place] = url
        self.in_flight[url] += 1
        try:
            async with self.gates[url].turn(place, tokens) as seat:
                yield url, seat
        finally:
            self.in_flight[url] -= 1

    def leave(self, place: int) -> None:
        for gate in self.gates.values():
            gate.leave(place)


async def run_task(number: int, first: int, client: Client, args: Any, session: Any, totals: multiturn.Totals) -> None:
    """One task's turns; `number` is its place, `first + number` its prompts."""
    task, rng = multiturn.Task(first + number, args), random.Random(number)
    regime: Regime = args.spec
    for turn in range(1, regime.turns + 1):
        prompt = task.prompt()
        body: dict[str, Any] = {
            "model": "orchestrator",
            "messages": [
                {"role": "system", "content": "You solve hard problems by choosing tools."},
                {"role": "user", "content": prompt},
            ],
            "tools": multiturn.TOOLS,
            "tool_choice": "auto",
            "max_tokens": 128,
            "min_tokens": 128,
            "ignore_eos": True,
            "temperature": 1.0,
        }
        if client.order == "program":
            body["program_id"] = f"t{first + number}"
        began = time.perf_counter()
        try:
            async with client.seat(number, len(prompt.split()) + 450) as (url, seat):
                if client.order == "depth_first":
                    body["priority"] = number
                async with session.post(f"{url}/v1/chat/completions", json=body) as response:
                    answer = await response.json(content_type=None)
                    if response.status != 200:
                        raise RuntimeError(f"{response.status}: {str(answer)[:200]}")
                usage, timing = answer["usage"], answer.get("metrics") or {}
                cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
                parts = [timing.get(k) for k in ("queue_time_ms", "time_to_first_token_ms", "generation_time_ms")]
                prefill, decode = (None, None) if None in parts else (parts[1] / 1000, parts[2] / 1000)
                seat.turn = Turn(usage["prompt_tokens"], cached, usage["completion_tokens"], prefill, decode)
        except Exception as error:
            totals.errors.append(f"task {number} turn {turn}: {type(error).__name__}: {error}")
            client.leave(number)
            return
        totals.wall.append((time.perf_counter() - began) * 1000)
        totals.queue.append(seat.waited_ms)
        totals.prompt_tokens += usage["prompt_tokens"]
        totals.cached_tokens += cached
        totals.output_tokens += usage["completion_tokens"]
        task.learn(turn)
        if turn < regime.turns:
            await asyncio.sleep(rng.expovariate(1 / regime.tool_s) if regime.exponential else regime.tool_s)
    client.leave(number)
    if client.order == "program":
        async with session.post(
            f"{client.urls[0]}/programs/release", json={"program_id": f"t{first + number}"}
        ) as told:
            await told.read()


async def load(client: Client, args: Any, first: int) -> dict[str, Any]:
    """All tasks of the regime once; the row that docs/serving.md shows."""
    regime: Regime = args.spec
    totals, ends = multiturn.Totals(), list[float]()
    gate = asyncio.Semaphore(regime.at_once)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1500), connector=connector) as session:
        began = time.perf_counter()

        async def one(number: int) -> None:
            async with gate:
                await run_task(number, first, client, args, session, totals)
                ends.append(time.perf_counter() - began)

        await asyncio.gather(*(one(number) for number in range(regime.tasks)))
        seconds = time.perf_counter() - began
    return {
        "order": client.order,
        "least_busy": client.least_busy,
        "replicas": len(client.urls),
        "tasks": regime.tasks,
        "seconds": round(seconds, 1),
        "turns": len(totals.wall),
        "turns_per_s": round(len(totals.wall) / seconds, 2),
        "cached_share": round(totals.cached_tokens / max(1, totals.prompt_tokens), 3),
        "mean_prompt": round(totals.prompt_tokens / max(1, len(totals.wall))),
        "turn_p50_ms": multiturn.percentile(totals.wall, 0.5),
        "turn_p99_ms": multiturn.percentile(totals.wall, 0.99),
        "admission_p99_ms": multiturn.percentile(totals.queue, 0.99),
        "task_mean_s": round(sum(ends) / max(1, len(ends)), 1),
        "errors": len(totals.errors),
        "first_errors": totals.errors[:3],
    }


@contextmanager
def router(command: str, port: int, backend: str, log: Path) -> Iterator[str]:
    """A router in front of one server, in a process group of its own."""
    with log.open("ab") as sink:
        words = shlex.split(command.format(port=port, backend=backend))
        process = subprocess.Popen(words, stdout=sink, stderr=sink)
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=3).close()
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def write(row: dict[str, Any], out: Path) -> None:
    with out.open("a") as sink:
        sink.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)


def lane(args: argparse.Namespace) -> None:
    """The runs in turn on one GPU; runs beside each other that want the same cache and flags share a server."""
    log, url = args.out.with_suffix(".log"), f"http://127.0.0.1:{args.port}"

    def run(name: str, order: str, first: int) -> None:
        args.spec = regime(name, args)
        try:
            with ExitStack() as stack:
                where = url
                if order == "program":
                    where = stack.enter_context(router(args.router, args.port + 1, url, log.with_suffix(".router")))
                client = Client([where], order, args.spec, least_busy=False)
                row = asyncio.run(load(client, args, first))
            write({"regime": name, **row}, args.out)
        except Exception as error:
            write({"regime": name, "order": order, "failed": repr(error)}, args.out)

    runs = [tuple(run.split(":")) for run in args.runs.split(",")]
    for (blocks, depth_first), group in groupby(runs, lambda run: (REGIMES[run[0]].blocks, run[1] == "depth_first")):
        extra = "" if blocks is None else f"--num-gpu-blocks-override {blocks}"
        flags = {**(variants.PODIUM if depth_first else {}), "SERVE_EXTRA_ARGS": extra}
        with variants.served(args.gpu, args.port, args.model, flags, log, 400):
            for name, order in group:
                args.first += 100_000
                run(name, order, args.first)


def replicas(args: argparse.Namespace) -> None:
    """Regime A with 512 tasks for each server: each task with its own; then the same on one half of the servers beside
    each turn at the least busy one on the other. --then runs while the servers are still there."""
    gpus = args.gpu.split(",")
    urls = [f"http://127.0.0.1:{args.port + 10 * n}" for n in range(len(gpus))]
    args.spec = regime("A", args)

    async def measured(some: list[str], first: int, *, least_busy: bool) -> None:
        tasks = args.spec.tasks * len(some)
        mine = argparse.Namespace(**{**vars(args), "spec": replace(args.spec, tasks=tasks, at_once=tasks)})
        row = await load(Client(some, "adaptive", mine.spec, least_busy=least_busy), mine, first)
        write({"regime": "A", **row}, args.out)

    async def halves() -> None:
        half = len(urls) // 2
        await asyncio.gather(
            measured(urls[:half], 200_000, least_busy=False), measured(urls[half:], 300_000, least_busy=True)
        )

    def started(n: int, gpu: str) -> Any:
        return variants.served(
            gpu, args.port + 10 * n, args.model, {"SERVE_EXTRA_ARGS": GRAMMAR}, args.out.with_suffix(f".{n}.log"), 400
        )

    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        for server in list(pool.map(lambda pair: _entered(started(*pair)), enumerate(gpus))):
            stack.push(server)
        asyncio.run(measured(urls, 100_000, least_busy=False))
        if len(urls) >= 4 and not args.no_halves:
            asyncio.run(halves())
        if args.then:
            subprocess.run(args.then, shell=True, check=False)


def _entered(server: Any) -> Any:
    server.__enter__()
    return server


def regime(name: str, args: argparse.Namespace) -> Regime:
    changes = {part: value for part in ("tasks", "turns") if (value := getattr(args, part)) is not None}
    return replace(REGIMES[name], **changes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu", default="0")
    parser.add_argument("--port", type=int, default=2600)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    every = ",".join(f"{name}:{order}" for name in REGIMES for order in ORDERS)
    parser.add_argument("--runs", default=every, help="REGIME:ORDER,…; orders: " + ", ".join(ORDERS))
    parser.add_argument("--tasks", type=int, help="another number of tasks than the regime's")
    parser.add_argument("--turns", type=int, help="another number of turns")
    parser.add_argument("--first", type=int, default=0, help="number of the first prompt, beyond those of other lanes")
    parser.add_argument("--no-halves", action="store_true", help="with --replicas: all servers together alone")
    parser.add_argument("--then", help="with --replicas: a shell command run at the end, before the servers stop")
    parser.add_argument("--router", default="", help="command with {port} and {backend}; needed for `program`")
    parser.add_argument("--replicas", action="store_true")
    args = parser.parse_args()
    args.seed, args.documents, args.document_words, args.layout = 1, 10, 150, "podium"
    if not args.router:
        args.runs = ",".join(run for run in args.runs.split(",") if not run.endswith(":program"))
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    if args.replicas:
        replicas(args)
    else:
        lane(args)


if __name__ == "__main__":
    main()
