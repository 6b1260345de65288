"""The socket of a run that is on: where it lies in the run's folder, and how a line is asked over it.

A request is a line of JSON, and so is the reply: podium_eval.control.acts has their fields.
"""

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SOCKET_NAME: Final = "control.sock"
LONGEST_LINE: Final = 64 * 1024
_LONGEST_PATH: Final = 100
"""Bytes. A socket's address holds 104 to 108, by system."""


class NoReply(ConnectionError):
    """The run is not on, or does not answer; the message tells which."""


@contextmanager
def socket_address(folder: Path) -> Generator[str]:
    """The address of a folder's socket. One too long for an address is reached through a handle of the folder.

    Raises:
        OSError: the folder is not there, or its path is too long where there is no /proc.
    """
    address = str(folder / SOCKET_NAME)
    if len(os.fsencode(address)) <= _LONGEST_PATH:
        yield address
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/{SOCKET_NAME}"
    finally:
        os.close(handle)


def ask_line(folder: Path, line: bytes, timeout_s: float) -> bytes:
    """Send a request's line, which ends without a newline; the reply's line.

    Raises:
        NoReply: the run is not on, or does not answer in time.
    """
    name = folder.name
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as talk, socket_address(folder) as address:
            talk.settimeout(timeout_s)
            talk.connect(address)
            talk.sendall(line + b"\n")
            with talk.makefile("rb") as answers:
                reply = answers.readline()
    except TimeoutError:
        raise NoReply(f"run {name} did not answer within {timeout_s:g} s") from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise NoReply(f"run {name} is not on: nobody listens in {folder}") from None
    except OSError as error:
        raise NoReply(f"run {name} cannot be asked: {error.strerror}") from error
    if not reply:
        raise NoReply(f"run {name} ended before it answered, or belongs to another user")
    return reply
