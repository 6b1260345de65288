"""What each vLLM flag is worth on the orchestrator's workload: start, measure, stop, one variant after the other.

Every variant starts Podium's own serve script with its settings and runs multiturn.py against it. Results are
written as they come, one JSON line a measurement, so that an interrupted lease keeps what it has measured.

    python bench/gpu/variants.py --gpu 2 --port 2406 --model DIR --out results.jsonl --variants default,podium
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# One line a variant: settings of the serve script, then the workloads measured on that one server.
# Depth first: tasks in the order they were taken, and no more running at once than leaves room in the KV cache for
# the prompts of tasks whose tool is at work.
PODIUM = {"SERVE_SCHEDULING": "priority", "SERVE_MAX_NUM_SEQS": "96"}
VARIANTS: dict[str, tuple[dict[str, str], list[tuple[str, list[str]]]]] = {
    "default": (
        {},
        [("original layout", ["--layout", "original"]), ("podium layout", ["--layout", "podium"])],
    ),
    "default_podium_layout": ({}, [("podium layout", ["--layout", "podium"])]),
    "api_servers": ({"SERVE_API_SERVERS": "4"}, [("podium layout", [])]),
    "priority": ({"SERVE_SCHEDULING": "priority"}, [("podium layout", ["--priority"])]),
    "batched_tokens": ({"SERVE_MAX_BATCHED_TOKENS": "16384"}, [("podium layout", [])]),
    "kv_fp8": ({"SERVE_KV_CACHE_DTYPE": "fp8"}, [("podium layout", [])]),
    "kv_offload": ({"SERVE_EXTRA_ARGS": "--kv-offloading-size 96"}, [("podium layout", [])]),
    "no_async": ({"SERVE_ASYNC_SCHEDULING": "false"}, [("podium layout", [])]),
    "no_prefix_cache": ({"SERVE_PREFIX_CACHING": "false"}, [("podium layout", [])]),
    "podium": (PODIUM, [("podium layout", ["--priority"])]),
    # Podium's flags with one of them another: what that one is worth beside the rest.
    **{
        name: ({**PODIUM, **change}, [("podium layout", ["--priority"])])
        for name, change in {
            "podium_no_prefix_cache": {"SERVE_PREFIX_CACHING": "false"},
            "podium_no_async": {"SERVE_ASYNC_SCHEDULING": "false"},
            "podium_api_servers": {"SERVE_API_SERVERS": "4"},
            "podium_batched_2048": {"SERVE_MAX_BATCHED_TOKENS": "2048"},
            "podium_batched_16384": {"SERVE_MAX_BATCHED_TOKENS": "16384"},
            "podium_seqs_48": {"SERVE_MAX_NUM_SEQS": "48"},
            "podium_seqs_192": {"SERVE_MAX_NUM_SEQS": "192"},
            "podium_fp8": {"SERVE_KV_CACHE_DTYPE": "fp8"},
            "podium_fp8_seqs_192": {"SERVE_KV_CACHE_DTYPE": "fp8", "SERVE_MAX_NUM_SEQS": "192"},
            "podium_kv_offload": {"SERVE_EXTRA_ARGS": "--kv-offloading-size 96"},
        }.items()
    },
    "podium_original_layout": (PODIUM, [("original layout", ["--priority", "--layout", "original"])]),
    "few_at_once": ({"SERVE_MAX_NUM_SEQS": "96"}, [("podium layout", [])]),
    "ladder": (
        PODIUM,
        [
            ("1 in flight", ["--priority", "--concurrency", "1", "--tasks", "2"]),
            ("32 in flight", ["--priority", "--concurrency", "32", "--tasks", "48", "--first", "1000"]),
            ("128 in flight", ["--priority", "--concurrency", "128", "--tasks", "192", "--first", "2000"]),
            ("512 in flight", ["--priority", "--concurrency", "512", "--tasks", "512", "--first", "3000"]),
        ],
    ),
}


@contextmanager
def served(gpu: str, port: int, model: str, settings: dict[str, str], log: Path, limit_s: float) -> Iterator[float]:
    """vLLM by the project's serve script on one GPU; yields the seconds until healthy, stops the whole group after.

    Raises:
        RuntimeError: it died or was not healthy within limit_s; the log's tail is in the message.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'services/vllm'}:{os.environ.get('PYTHONPATH', '')}",
        "CUDA_VISIBLE_DEVICES": gpu,
        "SERVE_MODEL": model,
        "SERVE_PORT": str(port),
        "SERVE_MAX_MODEL_LEN": "32768",
        "VLLM_LOGGING_LEVEL": "INFO",
        **settings,
    }
    environment["SERVE_EXTRA_ARGS"] = f"--load-format dummy {settings.get('SERVE_EXTRA_ARGS', '')}".strip()
    start = time.monotonic()
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "podium_vllm", "serve"],
            env=environment, stdout=sink, stderr=sink, start_new_session=True,
        )  # fmt: skip
    try:
        while True:
            if process.poll() is not None or time.monotonic() - start > limit_s:
                tail = log.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"vLLM not healthy after {time.monotonic() - start:.0f} s:\n{tail}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        yield time.monotonic() - start
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, sign)
            except ProcessLookupError:
                break
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                continue
        process.wait()


def measure(name: str, args: argparse.Namespace) -> None:
    """Run one variant's workloads; an error is a line in the results, not the end of the others."""
    settings, workloads = VARIANTS[name]
    log = args.out.with_name(f"{args.out.stem}-{name}.log")
    lines: list[dict[str, object]] = []
    try:
        with served(args.gpu, args.port, args.model, settings, log, args.start_limit) as ready_s:
            for at, (label, flags) in enumerate(workloads):
                out = log.with_suffix(f".{at}.json")
                command = [
                    sys.executable, str(HERE / "multiturn.py"), "--url", f"http://127.0.0.1:{args.port}",
                    "--tasks", str(args.tasks), "--turns", str(args.turns), "--first", str(at * 100_000),
                    "--out", str(out), *args.multiturn.split(), *flags,
                ]  # fmt: skip
                subprocess.run(command, check=True, timeout=args.limit, stdout=subprocess.DEVNULL)
                lines.append({"variant": name, "workload": label, "ready_s": ready_s, **json.loads(out.read_text())})
    except (RuntimeError, subprocess.SubprocessError, OSError) as error:
        lines.append({"variant": name, "failed": f"{type(error).__name__}: {error}"})
    with args.out.open("a") as sink:
        for line in lines:
            sink.write(json.dumps({**line, "serve": settings}) + "\n")
            print(row(line), flush=True)


def row(line: dict[str, object]) -> str:
    """A measurement in one line for the terminal."""
    if "failed" in line:
        return f"{line['variant']}: FAILED {str(line['failed'])[-600:]}"
    get = line.__getitem__
    return (
        f"{get('variant')} | {get('workload')} | {get('seconds'):.1f} s | {get('turns_per_s'):.2f} turns/s | "
        f"{get('output_tokens_per_s'):.0f} out tok/s | cached {get('cached_share'):.1%} | "
        f"queue {get('queue_ms')} prefill {get('prefill_ms')} decode {get('decode_ms')} over {get('overhead_ms')} | "
        f"errors {get('n_errors')} preemptions {get('preemptions'):.0f} | ready {get('ready_s'):.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu", default="0")
    parser.add_argument("--port", type=int, default=2406)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", default="default,podium")
    parser.add_argument("--tasks", type=int, default=512)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--multiturn", default="", help="further flags for every workload")
    parser.add_argument("--start-limit", type=float, default=300)
    parser.add_argument("--limit", type=float, default=900)
    args = parser.parse_args()
    for name in args.variants.split(","):
        measure(name, args)


if __name__ == "__main__":
    main()
