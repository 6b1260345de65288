"""CPU time of one model call, 512 in flight against the loopback server: two transports of AsyncOpenAI, and Podium.

Run: python bench/chat.py [--calls 5120] [--latency 1]
A prompt of 2,000 words and three tools goes out; the CPU is this process's own (server and client are two processes).
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import uvloop
from openai import AsyncOpenAI, DefaultAioHttpClient
from podium_contracts.events import Event
from podium_eval.models.build import build_models
from podium_eval.models.chat import ChatRequest, ToolSpec
from podium_eval.settings.models import ModelSettings

SERVER = Path(__file__).parents[1] / "eval/tests/loopback/openai_server.py"
AT_ONCE = 512
PROMPT = "word " * 2000
TOOLS = [
    ToolSpec(name, "One of three tools.", {"type": "object", "properties": {"model": {"type": "string"}}})
    for name in ("search", "enhance_reasoning", "answer")
]


class Nowhere:
    """A sink that keeps nothing: the log is measured elsewhere."""

    def emit(self, event: Event) -> None: ...

    async def flush(self) -> None: ...


async def measure(name: str, call: Callable[[], Awaitable[object]], calls: int, latency: float) -> None:
    """Print CPU a call, wall time beside the ideal, after one round that opens the connections."""

    async def worker(n: int) -> None:
        for _ in range(n):
            await call()

    await asyncio.gather(*(worker(1) for _ in range(AT_ONCE)))
    rounds = calls // AT_ONCE
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(worker(rounds) for _ in range(AT_ONCE)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(
        f"{name:34} {1000 * cpu / (rounds * AT_ONCE):6.2f} ms CPU a call, {wall:6.2f} s (ideal {rounds * latency:g} s)"
    )


async def run(calls: int, latency: float) -> None:
    arguments = [str(SERVER), "--latency", str(latency), "--model", "expert"]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        url = f"{(await process.stdout.readline()).decode().strip()}/v1"
        limits = httpx2.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
        body = {
            "model": "expert",
            "messages": [{"role": "user", "content": PROMPT}],
            "tools": [
                {
                    "type": "function",
                    "function": {"name": t.name, "description": t.description, "parameters": t.parameters},
                }
                for t in TOOLS
            ],
        }
        for name, transport in (
            ("AsyncOpenAI, its httpx transport", httpx2.AsyncClient(limits=limits, timeout=120)),
            ("AsyncOpenAI, its aiohttp transport", DefaultAioHttpClient(limits=limits)),
        ):
            client = AsyncOpenAI(base_url=url, api_key="k", max_retries=0, http_client=transport, timeout=120)
            await measure(name, lambda client=client: client.chat.completions.create(**body), calls, latency)
            await client.close()
        settings = ModelSettings(orchestrator_url=url, expert_default=f"vllm/expert@{url}", judge=f"vllm/expert@{url}")
        models = build_models(settings, Nowhere(), ids={"run_id": "bench"}, concurrency=AT_ONCE)
        await models.learn()
        request = ChatRequest(user=PROMPT, tools=TOOLS)
        await measure("Podium's Chat", lambda: models.experts["answer-1"].complete(request), calls, latency)
        await models.aclose()
    finally:
        process.kill()
        await process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=5120)
    parser.add_argument("--latency", type=float, default=1.0)
    arguments = parser.parse_args()
    uvloop.run(run(arguments.calls, arguments.latency))


if __name__ == "__main__":
    main()
