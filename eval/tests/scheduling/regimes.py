"""The regimes of docs/serving.md: tasks on one H200 that serves Qwen3-8B, and loads of the same shape."""

import random
from collections.abc import Callable

from podium_eval.scheduling.serving_model import Job, Replica


def h200(kv_tokens: int, sequences: int = 256) -> Replica:
    return Replica(
        kv_tokens=kv_tokens,
        weights_s=15.1e9 / 4.257e12,
        kv_s=147e3 / 4.257e12,
        prefill_s=16.4e9 / 640e12,
        step_s=0.0022,
        sequences=sequences,
    )


def jobs(count: int, turns: int, tool: Callable[[random.Random], float], seed: int = 1) -> list[Job]:
    """732 tokens, then documents (1,520) and programs (410) in turn; 128 tokens out a turn."""
    rng = random.Random(seed)
    prompts = [732]
    for turn in range(1, turns):
        prompts.append(prompts[-1] + (1520 if turn % 2 else 410))
    tools = [tuple(tool(rng) for _ in range(turns - 1)) for _ in range(count)]
    return [Job(tuple(prompts), (128,) * turns, one) for one in tools]


def always(seconds: float) -> Callable[[random.Random], float]:
    return lambda rng: seconds


def exponential(seconds: float) -> Callable[[random.Random], float]:
    return lambda rng: rng.expovariate(1 / seconds)


A = (814_368, jobs(512, 6, always(2.0)), 512)
B = (102_400, jobs(96, 10, exponential(5.0)), 48)
C = (300_000, jobs(256, 10, exponential(10.0)), 128)
D = (814_368, jobs(96, 10, exponential(5.0)), 48)
