"""A closed-loop HTTP load generator that is light enough to share two cores with what it measures.

Each client keeps one connection and asks its next query when the last is answered. Requests are built before the
clock starts, and of an answer only its length and status are read. Prints one JSON object.

    python bench/closed_loop.py 127.0.0.1:1401 --clients 512 --seconds 20 --queries queries.jsonl
    python bench/closed_loop.py --ceiling --clients 512          # the generator against a server that does nothing
"""

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import uvloop

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Client(asyncio.Protocol):
    """One connection that always has one request under way, until `until`."""

    def __init__(self, requests: Iterator[bytes], begin: float, until: float) -> None:
        self.requests, self.begin, self.until = requests, begin, until
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.lost = 0
        self.done = asyncio.get_running_loop().create_future()
        self.buffer = b""
        self.missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(next(self.requests))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if self.missing:  # the rest of a body whose head has been read
            self.missing -= len(data)
            if self.missing <= 0:
                self.answered()
            return
        self.buffer = self.buffer + data if self.buffer else data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end]
        self.status = int(head[9:12])
        found = LENGTH.search(head)
        length = int(found.group(1)) if found else 0
        self.missing = length - (len(self.buffer) - end - 4)
        self.buffer = b""
        if self.missing <= 0:
            self.missing = 0
            self.answered()

    def answered(self) -> None:
        self.missing = 0
        now = time.perf_counter()
        if self.begin <= now <= self.until:
            self.latencies.append(now - self.sent)
            self.statuses[self.status] += 1
        if now >= self.until:
            self.transport.close()
        else:
            self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if time.perf_counter() < self.until:
            self.lost += 1
        if not self.done.done():
            self.done.set_result(None)


async def run(address: str, clients: int, seconds: float, warm: float, bodies: Sequence[bytes]) -> dict[str, Any]:
    """Answers within `seconds` after `warm`, all clients together. Times in seconds."""
    host, _, port = address.rpartition(":")
    head = f"POST /retrieve HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: "
    requests = itertools.cycle([head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies])
    begin = time.perf_counter() + warm
    until = begin + seconds
    loop = asyncio.get_running_loop()
    all_clients: list[Client] = []
    cpu = os.times()
    for _ in range(clients):
        _, client = await loop.create_connection(lambda: Client(requests, begin, until), host, int(port))
        all_clients.append(client)
    stopped_at = time.perf_counter()
    await asyncio.wait([client.done for client in all_clients], timeout=max(0.0, until - stopped_at) + 60)
    spent = os.times()
    latencies = sorted(one for client in all_clients for one in client.latencies)
    statuses: Counter[int] = sum((client.statuses for client in all_clients), Counter())
    return {
        "clients": clients,
        "seconds": seconds,
        "answers": len(latencies),
        "queries_per_s": statuses[200] / seconds,
        "p50_s": quantile(latencies, 0.5),
        "p99_s": quantile(latencies, 0.99),
        "max_s": latencies[-1] if latencies else None,
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "lost": sum(client.lost for client in all_clients),
        "unfinished": sum(not client.done.done() for client in all_clients),
        "generator_cpu_s": spent.user + spent.system - cpu.user - cpu.system,
    }


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value at `share` of sorted values; None of nothing."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else None


class _Nothing(asyncio.Protocol):
    """Answers every request at once with 4 kB."""

    reply = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 4096\r\n\r\n" + b"x" * 4096

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.reply)  # type: ignore[attr-defined]


def _serve_nothing(port: Any) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Nothing, "127.0.0.1", 0, backlog=4096)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("address", nargs="?", help="host:port")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--warm", type=float, default=2)
    parser.add_argument("--queries", type=Path, help="one request body a line")
    parser.add_argument("--ceiling", action="store_true", help="against a server of its own that does nothing")
    options = parser.parse_args()
    bodies = options.queries.read_bytes().splitlines() if options.queries else [b'{"queries":["one query"],"topk":5}']
    child = None
    address = options.address
    if options.ceiling:
        context = multiprocessing.get_context("spawn")
        port = context.Queue()
        child = context.Process(target=_serve_nothing, args=(port,), daemon=True)
        child.start()
        address = f"127.0.0.1:{port.get(timeout=30)}"
    elif not address:
        parser.error("an address or --ceiling")
    try:
        print(json.dumps(uvloop.run(run(address, options.clients, options.seconds, options.warm, bodies))))
    finally:
        if child is not None:
            child.terminate()
            child.join(10)


if __name__ == "__main__":
    sys.exit(main())
