"""The stand-in server itself, as other processes use it."""

import asyncio
import json
import sys
from pathlib import Path

import aiohttp
from loopback.openai_server import LoopbackServer, Reply, Rule

SERVER = Path(__file__).parent / "loopback" / "openai_server.py"


async def test_it_runs_as_a_process_and_takes_orders(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    calls = [{"tool_calls": [["search", "{}"]]}, {"tool_calls": [["answer", "{}"]]}]
    script.write_text(json.dumps([{"contains": ["tools"], "key": "task-[0-9]+", "replies": calls}]))
    arguments = [str(SERVER), "--script", str(script), "--text", "plain", "--latency", "0.01"]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        address = (await process.stdout.readline()).decode().strip()
        async with aiohttp.ClientSession() as session:

            async def ask(text: str) -> tuple[int, dict[str, object]]:
                body = {"model": "m", "messages": [{"role": "user", "content": text}]}
                async with session.post(f"{address}/v1/chat/completions", json=body) as response:
                    return response.status, await response.json()

            def tool(answer: dict[str, object]) -> str:
                return json.loads(json.dumps(answer))["choices"][0]["message"]["tool_calls"][0]["function"]["name"]

            assert tool((await ask("tools task-1"))[1]) == "search"
            assert tool((await ask("tools task-2"))[1]) == "search"
            assert tool((await ask("tools task-1"))[1]) == "answer"
            assert tool((await ask("tools task-1"))[1]) == "answer"
            assert "plain" in json.dumps((await ask("task-1"))[1])
            order = {"faults": ["status=503,retry_after=1"], "latency_s": 0}
            async with session.post(f"{address}/_loopback", json=order) as response:
                assert (await response.json())["chat_requests"] == 5
            assert (await ask("x"))[0] == 503
            assert (await ask("x"))[0] == 200
            async with session.post(f"{address}/retrieve", json={"queries": ["a", "b"]}) as response:
                assert len(await response.json()) == 2
            async with session.post(f"{address}/run", json={"code": "1"}) as response:
                assert (await response.json())["status"] == "ok"
    finally:
        process.kill()
        await process.wait()


async def test_a_request_in_pieces_and_two_in_one_are_understood() -> None:
    body = b'{"model":"m","messages":[]}'
    request = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    async with LoopbackServer(
        reply=Reply(text="yes"), script=[Rule([Reply(text="no")], contains=("absent",))]
    ) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for at in range(0, len(request), 7):
            writer.write(request[at : at + 7])
            await writer.drain()
        assert b'"yes"' in await reader.readuntil(b'"yes"')
        writer.write(request + request)
        for _ in range(2):
            await reader.readuntil(b'"yes"')
        writer.close()
        await writer.wait_closed()
        assert server.stats.chat_requests == 3
        assert server.stats.in_flight == 0
