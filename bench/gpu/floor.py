"""The orchestrator's measurements beside what the GPU's arithmetic and memory would allow.

    python bench/gpu/floor.py flags.jsonl --flops 763.5e12 --bytes-per-s 4.257e12

Both ceilings are what bench/gpu/retrieval_bench.py prints for the GPU (a large product, a large copy). The floor of a
workload is a closed loop: n tasks, each in turn computing the prompt tokens that were not cached, decoding its output
beside the others that decode, and waiting for its tool. A decode step reads the weights once and the cache of every
prompt that runs; prompts are computed at the full rate and hold the decoding up meanwhile.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LAYERS, HIDDEN, KV_WIDTH, FEED_FORWARD, VOCABULARY = 36, 4096, 1024, 12_288, 151_936  # Qwen3-8B
LAYER_WEIGHTS = LAYERS * (HIDDEN * (HIDDEN + 2 * KV_WIDTH) + HIDDEN * HIDDEN + 3 * HIDDEN * FEED_FORWARD)
WEIGHT_BYTES = 2 * (LAYER_WEIGHTS + VOCABULARY * HIDDEN)
ATTENTION = 4 * HIDDEN * LAYERS
"""FLOPs for each pair of a token and one before it: scores and the weighted sum."""


@dataclass(frozen=True)
class Floor:
    """Turns/s at most, and the prompts that then run at once."""

    turns_per_s: float
    running: float


def floor(row: dict[str, Any], flops: float, bytes_per_s: float, cache_bytes: int) -> Floor:
    """See the module. `cache_bytes`: of the KV cache, for one token in one of K and V's numbers."""
    settings, turns = row["settings"], row["by_turn"].values()
    n_turns, out = settings["turns"], settings["output_tokens"]
    compute = sum(
        2 * LAYER_WEIGHTS * (turn["prompt"] - turn["cached"])
        + ATTENTION / 2 * (turn["prompt"] ** 2 - turn["cached"] ** 2)
        for turn in turns
    )
    prefill_s = compute / n_turns / flops
    context = sum(turn["prompt"] for turn in turns) / n_turns + out / 2
    weights_s = WEIGHT_BYTES / bytes_per_s
    prompt_s = 2 * LAYERS * KV_WIDTH * cache_bytes * context / bytes_per_s
    pause_s = settings["tool_seconds"] * (n_turns - 1) / n_turns
    limit = float(row["serve"].get("SERVE_MAX_NUM_SEQS", 1024))
    low, high = 0.0, 1 / prefill_s
    for _ in range(100):  # more turns/s mean more prompts running, and so slower steps: find where both agree
        rate = (low + high) / 2
        share = 1 - rate * prefill_s  # of the time left for decoding
        # running = rate * decode, decode = out * (weights_s + prompt_s * running) / share
        spread = share - rate * out * prompt_s
        running = rate * out * weights_s / spread if spread > 0 else float("inf")
        tasks = running + rate * (prefill_s + pause_s)
        low, high = (rate, high) if running <= limit and tasks <= settings["concurrency"] else (low, rate)
    share = 1 - low * prefill_s
    return Floor(low, low * out * weights_s / (share - low * out * prompt_s))


def main() -> None:
    """A Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--flops", type=float, required=True, help="FLOP/s of a large fp16 product")
    parser.add_argument("--bytes-per-s", type=float, required=True, help="of a large copy")
    args = parser.parse_args()
    print(
        "| variant | in flight | turns/s | floor | of it | out tok/s | queue | prefill | decode | overhead | cached |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for line in (line for file in args.results for line in file.read_text().splitlines()):
        row = json.loads(line)
        if "failed" in row:
            print(f"| {row['variant']} | failed: {row['failed'][:80]} |")
            continue
        width = 1 if row["serve"].get("SERVE_KV_CACHE_DTYPE") == "fp8" else 2
        best = floor(row, args.flops, args.bytes_per_s, width)
        parts = " | ".join(
            f"{row[f'{name}_ms']['p50']:,.0f} / {row[f'{name}_ms']['p99']:,.0f}"
            for name in ("queue", "prefill", "decode", "overhead")
        )
        share = row["turns_per_s"] / best.turns_per_s
        print(
            f"| {row['variant']} | {row['settings']['concurrency']} | {row['turns_per_s']:.2f} "
            f"| {best.turns_per_s:.2f} | {share:.0%} | {row['output_tokens_per_s']:,.0f} | {parts} "
            f"| {row['cached_share']:.1%} |"
        )


if __name__ == "__main__":
    main()
