"""A process beside the run that reads its log as it grows and exports a trace of each task that ends.

The log is the queue: the run itself does nothing for it and waits for nothing, however slow or dead the collector is.
Its standard input ends with the run, also with one that is killed. It prints JSON lines: a warning, at its end the
counts.
"""

import argparse
import json
import os
import select
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

import orjson
from podium_contracts.otel.spans import Traces
from podium_contracts.records import task_key

POLL_S: Final = 0.5


def tell(**fields: object) -> None:
    """One line for the run."""
    print(json.dumps(fields), flush=True)


def events(log: IO[bytes], run: IO[bytes]) -> Iterator[Mapping[str, Any] | None]:
    """The log's events as they come; None whenever all that is there was read. Ends when the run has."""
    torn, ended = b"", False
    while True:
        while line := log.readline():
            torn += line
            if torn.endswith(b"\n"):
                whole, torn = torn, b""
                try:
                    yield orjson.loads(whole)
                except orjson.JSONDecodeError:
                    continue
        yield None
        if ended:
            return
        ended = bool(select.select([run], [], [], POLL_S)[0])


def main(argv: list[str] | None = None) -> int:
    """0; 1 when the SDK is not installed."""
    parser = argparse.ArgumentParser(prog="podium_eval.telemetry.follow")
    parser.add_argument("folder", type=Path)
    parser.add_argument("endpoint")
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--segment", type=int, required=True)
    parser.add_argument("--finish-s", type=float, required=True)
    parser.add_argument("--content", action="store_true")
    given = parser.parse_args(argv)
    os.nice(19)  # the lowest priority: the run and its services go first on a busy machine
    try:
        from podium_contracts.otel.export import Sender
    except ImportError as error:
        tell(warning=f"nothing is exported: {error}; install podium-eval[otel]")
        return 1

    def record(task_id: str, epoch: int) -> Mapping[str, Any] | None:
        try:
            return orjson.loads((given.folder / "tasks" / f"{task_key(task_id, epoch)}.json").read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return None

    sender = Sender(given.endpoint, given.run_id, lambda text: tell(warning=text))
    traces = Traces(record if given.content else None, segment=given.segment)
    lock = threading.Lock()

    def end(*, whole: bool) -> None:
        with lock:
            tell(sent=sender.n_sent, dropped=sender.n_dropped, whole=whole)
            os._exit(0)

    def watch() -> None:
        select.select([sys.stdin.buffer], [], [])
        late = threading.Timer(given.finish_s, lambda: end(whole=False))
        late.daemon = True
        late.start()

    threading.Thread(target=watch, daemon=True).start()
    with (given.folder / "events.jsonl").open("rb") as log:
        for event in events(log, sys.stdin.buffer):
            if event is None:
                sender.flush()
                continue
            try:
                sender.send(traces.feed(event))
            except (KeyError, TypeError, ValueError):
                continue  # a torn line of an earlier segment
    sender.send(traces.close())
    sender.flush()
    end(whole=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
