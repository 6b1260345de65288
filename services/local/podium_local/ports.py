"""The services' ports: as set, or free ones; and which process holds a port that is in use."""

import socket
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

import psutil

_SERVICES: Final = {
    "vllm": ("ORCHESTRATOR_URL", "SERVE_PORT", "http://127.0.0.1:{port}/v1"),
    "retrieval": ("RETRIEVAL_URL", "RETRIEVAL_PORT", "http://127.0.0.1:{port}"),
    "sandbox": ("SANDBOX_URL", "SANDBOX_PORT", "http://127.0.0.1:{port}"),
}


def addresses(environment: Mapping[str, str], *, auto: bool, reuse: Iterable[str] = ()) -> dict[str, str]:
    """The services' addresses that follow from their ports; an address that is set stays, and so does a reused one's.

    auto: free ports instead, for every service that is started, and for each replica of ORCHESTRATOR_URL.

    Raises:
        ValueError: a port that is none.
    """
    addresses: dict[str, str] = {}
    replicas = len([url for url in environment.get("ORCHESTRATOR_URL", "").split(",") if url.strip()]) or 1
    free = iter(_free(len(_SERVICES) + replicas - 1)) if auto else None
    kept = set(reuse)
    for name, (address, port_name, form) in _SERVICES.items():
        port = environment.get(port_name, "")
        if free is not None and name not in kept:
            n = replicas if name == "vllm" else 1
            addresses[address] = ",".join(form.format(port=next(free)) for _ in range(n))
        elif port and not environment.get(address):
            if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
                raise ValueError(f"{port_name}={port} is no port: a number from 1 to 65535, or --ports auto")
            addresses[address] = form.format(port=int(port))
    return addresses


def is_taken(port: int) -> bool:
    """Whether this machine's own address has no room for a further listener at the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def free_port() -> int:
    """A port that nobody listens on now."""
    return _free(1)[0]


def holder(url: str) -> str:
    """` by process 812 (python -m http.server)`; empty where it cannot be seen."""
    wanted = urlsplit(url).port
    try:
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.pid
                and connection.laddr
                and connection.laddr.port == wanted
            ):
                words = " ".join(" ".join(psutil.Process(connection.pid).cmdline()).split())[:80]
                return f" by process {connection.pid} ({words})"
    except (psutil.Error, OSError):
        pass
    return ""


def _free(count: int) -> list[int]:
    """Free ports, all bound until all are known, so that they differ."""
    held = [socket.socket() for _ in range(count)]
    try:
        for held_socket in held:
            held_socket.bind(("127.0.0.1", 0))
        return [int(held_socket.getsockname()[1]) for held_socket in held]
    finally:
        for held_socket in held:
            held_socket.close()
