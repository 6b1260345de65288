"""An MCP server written with the official package: `python mcp_server.py` over stdio, `… PORT` over HTTP."""

import os
import subprocess
import sys
import time

from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("loopback", version="1.0")


@server.tool()
def add(a: int, b: int) -> str:
    """The sum of two numbers."""
    return f"{a} + {b} = {a + b}"


@server.tool()
def huge(megabytes: int) -> str:
    """A long text."""
    return "x" * (megabytes << 20)


@server.tool()
def surrogate() -> str:
    """What UTF-8 cannot hold."""
    return "a\ud800b".encode("utf-8", "replace").decode() + " \\ud800"


@server.tool()
def picture() -> Image:
    """An image."""
    return Image(data=b"\x89PNG" + bytes(1000), format="png")


@server.tool()
def fail() -> str:
    """It fails."""
    raise ToolError("no such town")


@server.tool()
def die() -> str:
    """The server ends."""
    os._exit(3)


@server.tool()
def sleep(seconds: float) -> str:
    """It takes its time."""
    time.sleep(seconds)
    return "awake"


@server.tool()
def fork() -> str:
    """A child that outlives a server that is killed; its process id."""
    child = subprocess.Popen(
        [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    return f"{os.getpid()} {child.pid}"


@server.tool()
def environment(name: str) -> str:
    """A variable of the server."""
    return os.environ.get(name, "not there")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run()
