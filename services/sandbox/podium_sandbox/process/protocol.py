"""The messages between service and zygote: one JSON object a packet of their Unix socket.

To the zygote: Run (with four descriptors: program, stdout, stderr, note) and Kill. From it: Ready once; for each run
Started, Exited (from the run's reaper, when all of its processes are gone) and Gone (the reaper is gone too).
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from podium_sandbox.isolation.layers import Isolation
from podium_sandbox.isolation.rlimits import Limits

PACKET_BYTES = 65_536
DESCRIPTORS = 4


@dataclass(frozen=True, slots=True)
class Run:
    """uid: a user id of the run's own. scratch: its folder where it gets no file system of its own. cgroup: its own."""

    id: int
    limits: Limits
    uid: int | None
    scratch: str | None
    cgroup: str | None


@dataclass(frozen=True, slots=True)
class Kill:
    id: int


@dataclass(frozen=True, slots=True)
class Ready:
    """anon_bytes: memory that every program shows as its own though it is shared with the zygote."""

    isolation: Isolation
    load_ms: float
    anon_bytes: int
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Started:
    id: int
    pid: int


@dataclass(frozen=True, slots=True)
class Exited:
    """status: as from wait(2), None where the program's first process was killed together with its namespace.

    ended: monotonic time of its end. cpu_s: of all its processes. max_rss_bytes: of the largest one, what it shares
    with the zygote included.
    """

    id: int
    status: int | None
    ended: float
    cpu_s: float
    max_rss_bytes: int


@dataclass(frozen=True, slots=True)
class Gone:
    id: int


Packet = Run | Kill | Ready | Started | Exited | Gone
_KINDS: dict[str, type[Packet]] = {kind.__name__: kind for kind in (Run, Kill, Ready, Started, Exited, Gone)}


def encode(packet: Packet) -> bytes:
    return json.dumps([type(packet).__name__, asdict(packet)]).encode()


def decode(data: bytes) -> Packet:
    name, fields = json.loads(data)
    values: dict[str, Any] = fields
    if name == "Run":
        values["limits"] = Limits(**values["limits"])
    elif name == "Ready":
        isolation: dict[str, Any] = values["isolation"]
        isolation["missing"] = tuple(isolation["missing"])
        values["isolation"] = Isolation(**isolation)
    return _KINDS[name](**values)
