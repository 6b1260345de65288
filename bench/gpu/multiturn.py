"""The orchestrator's workload against a running vLLM: tasks of several turns whose prompt grows from turn to turn.

Each task runs `--turns` turns; a turn is one chat completion with the three tools and exactly `--output-tokens`
tokens out, then a pause for the tool. What a turn adds to the prompt alternates between documents and a program
with its output. Two layouts of the same pieces:

  podium    problem, then the pieces in the order they came, then the ask: all of the last prompt but its ask is prefix
  original  problem, then all documents, then all programs, then the ask, as ToolOrchestra's loop groups them:
            what a search adds moves every program behind it

    python bench/gpu/multiturn.py --url http://127.0.0.1:1406 --tasks 512 --concurrency 512 --out result.json
"""

import argparse
import asyncio
import json
import random
import re
import statistics
import time
import urllib.request
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

WORDS = [
    "import", "return", "class", "value", "error", "string", "number", "list", "index", "path", "module", "object",
    "result", "type", "name", "file", "line", "test", "method", "function", "argument", "default", "raise", "handle",
    "open", "close", "read", "write", "byte", "text", "parse", "format", "encode", "search", "match", "group",
    "pattern", "thread", "process", "queue", "lock", "event", "time", "date", "day", "hour", "minute", "second",
    "local", "remote", "server",
]  # fmt: skip

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": text,
            "parameters": {
                "type": "object",
                "properties": {"model": {"type": "string", "enum": models}},
                "required": ["model"],
                "additionalProperties": False,
            },
        },
    }
    for name, text, models in (
        ("search", "Look for passages that bear on the problem. " * 6, ["search-1", "search-2", "search-3"]),
        ("enhance_reasoning", "Have a program written and run. " * 8, ["reasoner-1", "reasoner-2", "reasoner-3"]),
        ("answer", "Give the final answer. " * 9, ["answer-1", "answer-2", "answer-3", "answer-4"]),
    )
]


@dataclass
class Totals:
    """What all turns said of themselves; times in ms, one entry a turn."""

    wall: list[float] = field(default_factory=list)
    queue: list[float] = field(default_factory=list)
    prefill: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)
    overhead: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    errors: list[str] = field(default_factory=list)
    cached_by_turn: dict[int, list[int]] = field(default_factory=dict)
    prompt_by_turn: dict[int, list[int]] = field(default_factory=dict)


def words(rng: random.Random, n: int) -> str:
    """n words, about one token each in the tokenizer that shapes.py trains."""
    return " ".join(rng.choices(WORDS, k=n))


class Task:
    """One task's growing knowledge."""

    def __init__(self, number: int, args: argparse.Namespace) -> None:
        self.rng = random.Random(args.seed * 1_000_003 + number)
        self.args = args
        self.problem = f"Problem {number}: " + words(self.rng, 250)
        self.pieces: list[tuple[str, str]] = []

    def prompt(self) -> str:
        if self.args.layout == "podium":
            known = [text for _, text in self.pieces]
        else:
            known = [t for kind, t in self.pieces if kind == "document"]
            known += [t for kind, t in self.pieces if kind == "code"]
        return "\n\n".join([self.problem, *known, "Choose one tool now."])

    def learn(self, turn: int) -> None:
        if turn % 2:
            for _ in range(self.args.documents):
                self.pieces.append(("document", "Document: " + words(self.rng, self.args.document_words)))
        else:
            self.pieces.append(("code", "Program: " + words(self.rng, 300) + "\nOutput: " + words(self.rng, 100)))


async def run_task(number: int, args: argparse.Namespace, session: aiohttp.ClientSession, totals: Totals) -> None:
    task = Task(number, args)
    for turn in range(1, args.turns + 1):
        body: dict[str, Any] = {
            "model": args.model,
            "messages": [
                {"role": "system", "content": "You solve hard problems by choosing tools."},
                {"role": "user", "content": task.prompt()},
            ],
            "tools": TOOLS,
            "tool_choice": "auto",
            "max_tokens": args.output_tokens,
            "min_tokens": args.output_tokens,
            "ignore_eos": True,
            "temperature": 1.0,
        }
        if args.priority:
            body["priority"] = number
        start = time.perf_counter()
        try:
            async with session.post(f"{args.url}/v1/chat/completions", json=body) as response:
                answer = await response.json()
                if response.status != 200:
                    raise RuntimeError(f"{response.status}: {str(answer)[:300]}")
        except Exception as error:
            totals.errors.append(f"task {number} turn {turn}: {type(error).__name__}: {error}")
            return
        wall = (time.perf_counter() - start) * 1000
        usage, timing = answer["usage"], answer.get("metrics") or {}
        totals.wall.append(wall)
        parts = [timing.get(k) for k in ("queue_time_ms", "time_to_first_token_ms", "generation_time_ms")]
        if None not in parts:
            totals.queue.append(parts[0])
            totals.prefill.append(parts[1])
            totals.decode.append(parts[2])
            totals.overhead.append(wall - sum(parts))
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        totals.prompt_tokens += usage["prompt_tokens"]
        totals.cached_tokens += cached
        totals.output_tokens += usage["completion_tokens"]
        totals.cached_by_turn.setdefault(turn, []).append(cached)
        totals.prompt_by_turn.setdefault(turn, []).append(usage["prompt_tokens"])
        task.learn(turn)
        if turn < args.turns and args.tool_seconds:
            await asyncio.sleep(args.tool_seconds)


def counters(url: str) -> dict[str, float]:
    """vLLM's own sums, over all engines and API server processes."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as response:
        text = response.read().decode()
    names = {
        "queue_s": "vllm:request_queue_time_seconds_sum",
        "prefill_s": "vllm:request_prefill_time_seconds_sum",
        "decode_s": "vllm:request_decode_time_seconds_sum",
        "preemptions": "vllm:num_preemptions_total",
    }
    return {
        key: sum(float(v) for v in re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.M))
        for key, name in names.items()
    }


def percentile(values: list[float], q: float) -> float | None:
    return sorted(values)[min(len(values) - 1, int(q * len(values)))] if values else None


async def measure(args: argparse.Namespace) -> dict[str, Any]:
    totals = Totals()
    gate = asyncio.Semaphore(args.concurrency)
    timeout = aiohttp.ClientTimeout(total=args.timeout)
    # vLLM's HTTP server closes a connection after 5 s without use: it must not be taken just then.
    connector = aiohttp.TCPConnector(limit=args.concurrency + 8, keepalive_timeout=4)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:

        async def one(number: int) -> None:
            async with gate:
                await run_task(number, args, session, totals)

        if args.warm_up:
            await asyncio.gather(*(run_task(10_000 + n, args, session, Totals()) for n in range(args.warm_up)))
        before = counters(args.url)
        start = time.perf_counter()
        await asyncio.gather(*(one(n) for n in range(args.first, args.first + args.tasks)))
        seconds = time.perf_counter() - start
    after = counters(args.url)
    sums = {"queue_s": totals.queue, "prefill_s": totals.prefill, "decode_s": totals.decode}
    result: dict[str, Any] = {
        "settings": {k: v for k, v in vars(args).items() if k != "out"},
        "seconds": seconds,
        "turns": len(totals.wall),
        "turns_per_s": len(totals.wall) / seconds,
        "output_tokens_per_s": totals.output_tokens / seconds,
        "prompt_tokens_per_s": totals.prompt_tokens / seconds,
        "computed_prompt_tokens_per_s": (totals.prompt_tokens - totals.cached_tokens) / seconds,
        "cached_share": totals.cached_tokens / max(1, totals.prompt_tokens),
        "errors": totals.errors[:20],
        "n_errors": len(totals.errors),
        "preemptions": after["preemptions"] - before["preemptions"],
        "server_sums": {
            k: {
                "requests_s": sum(v) / 1000,
                "metrics_s": after[k] - before[k],
                "ratio": sum(v) / 1000 / (after[k] - before[k]) if after[k] > before[k] else None,
            }
            for k, v in sums.items()
        },
        "by_turn": {
            t: {"prompt": statistics.mean(totals.prompt_by_turn[t]), "cached": statistics.mean(c)}
            for t, c in sorted(totals.cached_by_turn.items())
        },
    }
    for name in ("wall", "queue", "prefill", "decode", "overhead"):
        values = asdict(totals)[name]
        result[f"{name}_ms"] = {f"p{int(q * 100)}": percentile(values, q) for q in (0.5, 0.99)}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:1406")
    parser.add_argument("--model", default="orchestrator")
    parser.add_argument("--tasks", type=int, default=512)
    parser.add_argument("--first", type=int, default=0, help="number of the first task: other tasks, other prompts")
    parser.add_argument("--concurrency", type=int, default=512)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--documents", type=int, default=10)
    parser.add_argument("--document-words", type=int, default=150)
    parser.add_argument("--output-tokens", type=int, default=128)
    parser.add_argument("--tool-seconds", type=float, default=2.0)
    parser.add_argument("--layout", choices=("podium", "original"), default="podium")
    parser.add_argument("--priority", action="store_true", help="earlier tasks first (needs the priority policy)")
    parser.add_argument("--timeout", type=float, default=900.0)
    parser.add_argument("--warm-up", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result = asyncio.run(measure(args))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1, default=str))
    show = {k: v for k, v in result.items() if k not in ("settings", "by_turn")}
    print(json.dumps(show, indent=None, default=str))


if __name__ == "__main__":
    main()
