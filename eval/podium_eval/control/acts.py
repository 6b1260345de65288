"""What can be asked of a run, and how a line of the socket is read."""

from typing import Annotated, Final, Literal

import msgspec
from podium_contracts.names import ControlAct

Ask = ControlAct | Literal["status"]


class Request(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One line to the socket.

    n: of concurrency and limit, from 1. provider: of limit, as the status lists them. task: an id, or `id#epoch`, of
    cancel and requeue. source: who asks.
    """

    act: Ask
    n: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    provider: str | None = None
    task: str | None = None
    source: Literal["shell", "page"] = "shell"


class Reply(msgspec.Struct, omit_defaults=True):
    """The reply, one line. done: what was done. refused: why nothing was. status: of the act of that name."""

    done: str | None = None
    refused: str | None = None
    status: "Status | None" = None


class InFlight(msgspec.Struct):
    """A task under way. age_s: since it was taken."""

    task: str
    epoch: int
    step: int
    doing: str
    age_s: float


class Status(msgspec.Struct):
    """How a run stands now. limits: calls at once by provider, as (allowed, most, in flight, waiting)."""

    run_id: str
    paused: bool
    stopping: str | None
    concurrency: int
    n_tasks: int
    n_finished: int
    in_flight: list[InFlight]
    limits: dict[str, tuple[int, int, int, int]]
    breakers: dict[str, str]


class Refused(ValueError):
    """The act cannot be done; the message is the reason."""


_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "concurrency": ("n",),
    "limit": ("provider", "n"),
    "cancel": ("task",),
    "requeue": ("task",),
}
"""Fields without which an act means nothing."""

_DECODER: Final = msgspec.json.Decoder(Request)


def read_request(line: bytes) -> Request:
    """A line of the socket.

    Raises:
        Refused: it is no request, or one that lacks what its act needs; the message names the field.
    """
    try:
        request = _DECODER.decode(line)
    except msgspec.MsgspecError as error:
        raise Refused(f"not a request: {error}") from error
    missing = [name for name in _NEEDS.get(request.act, ()) if getattr(request, name) is None]
    if missing:
        raise Refused(f"{request.act} needs {' and '.join(missing)}")
    return request
