"""Tools of real MCP servers, over stdio and streamable HTTP, as a run meets them."""

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from podium_eval.clock import SystemClock
from podium_eval.dataset.question import Question
from podium_eval.errors import ConfigError, Failure
from podium_eval.settings.read import read_settings
from podium_eval.settings.run import RunSettings
from podium_eval.tools.added.build import AddedTools, added_tools
from podium_eval.tools.mcp.servers import load_servers
from podium_eval.tools.tool import ToolRequest, ToolResult

SERVER = Path(__file__).parents[2] / "harness" / "mcp_server.py"


async def no_expert(*_: Any, **__: Any) -> Any:
    raise Failure("tool_error", "no expert")


def request(**arguments: Any) -> ToolRequest:
    question = Question(id="q", eid=0, question="?", answer="42")
    return ToolRequest(question, lambda _: False, no_expert, {}, lambda _: None, arguments)


@asynccontextmanager
async def started(folder: Path, lines: str, **settings: Any) -> AsyncGenerator[AddedTools]:
    file = folder / "servers.toml"
    file.write_text(lines)
    given = RunSettings(_env_file=None, mcp_servers=file, **settings)  # type: ignore[call-arg]
    async with added_tools(given, SystemClock()) as tools:
        yield tools


async def use(tools: AddedTools, name: str, arguments: Mapping[str, Any]) -> ToolResult:
    (tool,) = (tool for tool in tools.tools if tool.name == name)
    return await tool.use(request(**arguments))


def stdio(more: str = "") -> str:
    return f'[servers.own]\ncommand = ["{sys.executable}", "{SERVER}"]\n{more}\n'


@asynccontextmanager
async def over_http() -> AsyncGenerator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(sys.executable, str(SERVER), str(port), stderr=-3, stdout=-3)
    try:
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.05)
        yield f'[servers.own]\nurl = "http://127.0.0.1:{port}/mcp"\n'
    finally:
        process.kill()
        await process.wait()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


async def gone(*pids: int) -> None:
    async with asyncio.timeout(20):
        while any(alive(pid) for pid in pids):  # noqa: ASYNC110 (no event tells of another's end)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("way", ["stdio", "http"])
async def test_a_server_s_results_and_failures_are_data(tmp_path: Path, way: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        lines = stdio() if way == "stdio" else await stack.enter_async_context(over_http())
        tools = await stack.enter_async_context(started(tmp_path, lines + "usd_per_call = 0.25\n"))
        assert [server.server for server, _ in tools.servers] == ["loopback 1.0"]
        result = await use(tools, "own_add", {"a": 2, "b": 40})
        assert (result.text, result.failure) == ("2 + 40 = 42", None)
        assert result.charge is not None
        assert result.charge.usd == 0.25
        assert set(result.parts.parts_ms or ()) == {"queue", "call"}
        failed = await use(tools, "own_fail", {})
        assert failed.failure is not None
        assert failed.failure.error_type == "tool_error"
        assert "no such town" in failed.failure.message
        assert "image/png, not shown" in str((await use(tools, "own_picture", {})).text)
        assert str((await use(tools, "own_surrogate", {})).text).isprintable()


@pytest.mark.parametrize("way", ["stdio", "http"])
async def test_forty_megabytes_are_refused_and_the_server_goes_on(tmp_path: Path, way: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        lines = stdio() if way == "stdio" else await stack.enter_async_context(over_http())
        tools = await stack.enter_async_context(started(tmp_path, lines + "timeout_s = 20\n"))
        began = time.monotonic()
        result = await use(tools, "own_huge", {"megabytes": 40})
        assert result.failure is not None
        assert time.monotonic() - began < 15
        assert (await use(tools, "own_add", {"a": 1, "b": 1})).text == "1 + 1 = 2"


async def test_a_long_result_is_cut(tmp_path: Path) -> None:
    more = "result_bytes = 9000000"
    async with started(tmp_path, stdio(more), tool_result_chars=1000) as tools:
        text = (await use(tools, "own_huge", {"megabytes": 2})).text
        assert text is not None
        assert len(text) < 1100
        assert "more characters left out" in text


async def test_a_server_that_dies_is_started_again_within_limits(tmp_path: Path) -> None:
    async with started(tmp_path, stdio(), mcp_restarts=1) as tools:
        for _ in range(2):
            assert (await use(tools, "own_add", {"a": 1, "b": 1})).failure is None
            assert (await use(tools, "own_die", {})).failure is not None
        last = (await use(tools, "own_add", {"a": 1, "b": 1})).failure
        assert last is not None
        assert "MCP_RESTARTS" in last.message


async def test_a_call_that_hangs_ends_at_its_limit(tmp_path: Path) -> None:
    async with started(tmp_path, stdio("timeout_s = 0.5"), mcp_close_s=5) as tools:
        began = time.monotonic()
        assert (await use(tools, "own_sleep", {"seconds": 60})).failure is not None
        assert time.monotonic() - began < 10


async def test_children_of_a_server_end_with_it(tmp_path: Path) -> None:
    async with started(tmp_path, stdio()) as tools:
        pids = [int(pid) for pid in str((await use(tools, "own_fork", {})).text).split()]
        assert all(alive(pid) for pid in pids)
    await gone(*pids)


async def test_a_killed_eval_leaves_no_server_behind(tmp_path: Path) -> None:
    (tmp_path / "servers.toml").write_text(stdio())
    source = (
        "import asyncio, sys; sys.path[:0] = sys.argv[1:]\n"
        "import test_mcp as t, pathlib\n"
        "async def main():\n"
        f"    async with t.started(pathlib.Path({str(tmp_path)!r}), t.stdio()) as tools:\n"
        "        print((await t.use(tools, 'own_fork', {})).text, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    folder = str(Path(__file__).parent)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", source, folder, stdout=-1)
    assert process.stdout is not None
    pids = [int(pid) for pid in (await asyncio.wait_for(process.stdout.readline(), 60)).split()]
    assert len(pids) == 2
    process.kill()
    await process.wait()
    await gone(*pids)


async def test_a_server_sees_the_named_variables_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIVEN_NAME", "given")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    async with started(tmp_path, stdio('env = ["GIVEN_NAME"]')) as tools:
        assert (await use(tools, "own_environment", {"name": "GIVEN_NAME"})).text == "given"
        assert (await use(tools, "own_environment", {"name": "OPENAI_API_KEY"})).text == "not there"


async def test_a_server_s_variable_may_stand_in_the_settings_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIVEN_BOTH", "environment")
    file = tmp_path / "servers.toml"
    file.write_text(stdio('env = ["GIVEN_NAME", "GIVEN_BOTH"]'))
    (tmp_path / "settings").write_text(
        f"MCP_SERVERS={file}\nGIVEN_NAME=of-the-file\nGIVEN_BOTH=of-the-file\nGIVEN_EMPTY=\n"
    )
    settings = read_settings({}, str(tmp_path / "settings"))
    assert settings.variable("GIVEN_EMPTY") is None
    async with added_tools(settings.model_copy(update={"tools": ""}), SystemClock()) as tools:
        assert (await use(tools, "own_environment", {"name": "GIVEN_NAME"})).text == "of-the-file"
        assert (await use(tools, "own_environment", {"name": "GIVEN_BOTH"})).text == "environment"
    assert "of-the-file" not in settings.model_dump_json()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('[servers.a]\ncommand = ["/no/such/program"]', "did not start"),
        (f'[servers.a]\ncommand = ["{sys.executable}", "-c", "import time; time.sleep(60)"]', "MCP_START_S"),
        (stdio('tools = ["nothing"]'), "offers none of the tools"),
        ('[servers.a]\nurl = "http://127.0.0.1:9/mcp"', "did not start"),
    ],
)
async def test_what_cannot_be_started_is_named(tmp_path: Path, lines: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        async with started(tmp_path, lines, mcp_start_s=3 if "sleep" in lines else 20):
            pass


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", "has no server"),
        ("[servers", "cannot be read"),
        ("[servers.a]\n", "either command or url"),
        ('[servers.a]\nurl = "ftp://x"', "is not an address"),
        ('[servers.a]\ncommand = "x"\nenv = ["NOT_SET_HERE"]', "'NOT_SET_HERE' is not set"),
        ('[servers.a]\ncommand = "x"\ntimeout = 3', "timeout: Extra inputs"),
        ('[servers."a b"]\ncommand = "x"', "is no name"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, lines: str, words: str) -> None:
    file = tmp_path / "servers.toml"
    file.write_text(lines)
    with pytest.raises(ConfigError, match=words) as refused:
        load_servers(file)
    assert "MCP_SERVERS=" in str(refused.value)
    assert os.linesep not in str(refused.value)
