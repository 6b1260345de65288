"""Asks a run that is on, from another process."""

import socket
from pathlib import Path

import msgspec

from podium_eval.control.acts import Refused, Reply, Request
from podium_eval.control.server import socket_address


def ask(folder: Path, request: Request, timeout_s: float) -> Reply:
    """The run's reply.

    Raises:
        Refused: the run is not active, does not answer in time, or refuses; the message is the reason.
    """
    name = folder.name
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as talk, socket_address(folder) as address:
            talk.settimeout(timeout_s)
            talk.connect(address)
            talk.sendall(msgspec.json.encode(request) + b"\n")
            with talk.makefile("rb") as answers:
                line = answers.readline()
    except TimeoutError:
        raise Refused(f"run {name} did not answer within {timeout_s:g} s") from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise Refused(f"run {name} is not on: nobody listens in {folder}") from None
    except OSError as error:
        raise Refused(f"run {name} cannot be asked: {error.strerror}") from error
    if not line:
        raise Refused(f"run {name} ended before it answered, or belongs to another user")
    reply = msgspec.json.decode(line, type=Reply)
    if reply.refused is not None:
        raise Refused(reply.refused)
    return reply
