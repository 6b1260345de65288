"""The socket of a run that is on: a request a line, a reply a line, for the user of the run alone."""

import asyncio
import logging
import os
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
from podium_contracts.control import LONGEST_LINE, SOCKET_NAME, socket_address

from podium_eval.clock import SYSTEM_CLOCK, Clock
from podium_eval.control.acts import Refused, Reply, Request, read_request

_IDLE_S: Final = 60.0
_log = logging.getLogger(__name__)


@asynccontextmanager
async def serve(
    folder: Path, perform: Callable[[Request], Awaitable[Reply]], clock: Clock = SYSTEM_CLOCK
) -> AsyncGenerator[None]:
    """Answer requests while the block runs. The folder is the caller's alone; a socket that a kill left is replaced.

    A folder that can hold no socket (some network file systems) costs the control, not the run: it is warned of.
    """
    open_ones: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ones.add(task)
        try:
            await _talk(reader, writer, perform, clock)
        except (ConnectionError, TimeoutError):
            pass
        finally:
            open_ones.discard(task)
            writer.close()

    try:
        server = await asyncio.start_unix_server(talk, sock=_bound(folder), limit=LONGEST_LINE)
    except OSError as error:
        _log.warning("%s cannot hold %s (%s): podium-eval ctl will not reach this run", folder, SOCKET_NAME, error)
        yield
        return
    try:
        yield
    finally:
        server.close()
        for connection in list(open_ones):
            connection.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)
        (folder / SOCKET_NAME).unlink(missing_ok=True)


def _bound(folder: Path) -> socket.socket:
    (folder / SOCKET_NAME).unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket_address(folder) as address:
            bound.bind(address)
        os.chmod(folder / SOCKET_NAME, 0o600)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


async def _talk(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    perform: Callable[[Request], Awaitable[Reply]],
    clock: Clock,
) -> None:
    if not _same_user(writer):
        return
    whole = True
    while whole:
        try:
            async with clock.timeout(_IDLE_S):
                line = await reader.readline()
            if not line:
                return
            reply = await perform(read_request(line))
        except Refused as error:
            reply = Reply(refused=str(error))
        except ValueError:  # what is left of the line would be read as further requests
            reply, whole = Reply(refused=f"a request has at most {LONGEST_LINE} bytes"), False
        writer.write(msgspec.json.encode(reply) + b"\n")
        async with clock.timeout(_IDLE_S):
            await writer.drain()


def _same_user(writer: asyncio.StreamWriter) -> bool:
    """Linux reports the peer's user id; elsewhere the socket's file permission alone protects it."""
    peer = writer.get_extra_info("socket")
    if peer is None or not hasattr(socket, "SO_PEERCRED"):
        return True
    _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return user in (0, os.getuid())
