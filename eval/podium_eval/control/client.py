"""Asks a run that is on, from another process."""

from pathlib import Path

import msgspec
from podium_contracts.control import NoReply, ask_line

from podium_eval.control.acts import Refused, Reply, Request


def ask(folder: Path, request: Request, timeout_s: float) -> Reply:
    """The run's reply.

    Raises:
        Refused: the run is not active, does not answer in time, or refuses; the message is the reason.
    """
    try:
        line = ask_line(folder, msgspec.json.encode(request), timeout_s)
    except NoReply as error:
        raise Refused(str(error)) from error
    reply = msgspec.json.decode(line, type=Reply)
    if reply.refused is not None:
        raise Refused(reply.refused)
    return reply
