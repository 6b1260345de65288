"""Trajectories, their long texts, reports, comparisons and acts over HTTP."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from podium_contracts.control import SOCKET_NAME

Asked = Callable[..., httpx.AsyncClient]
MakeRun = Callable[..., Path]
TOKEN = "a-token-of-some-length"


async def test_a_row_leads_to_its_trajectory(asked: Asked, make_run: MakeRun) -> None:
    run = make_run("run", n=4)
    client = asked()
    found = (await client.get("/runs/run/rows?start=1")).json()
    assert (found["end"], len(found["rows"])) == (4, 3)
    key = found["rows"][0][0]
    record = json.loads((run / "tasks" / f"{key}.json").read_text())
    script = (await client.get("/runs/run/rows/1.js")).text
    body = script.removeprefix("podiumChunk(1,").removesuffix(");\n")
    assert json.loads(json.loads(body))[0]["question"] == record["question"]


async def test_a_long_text_is_cut_with_the_rest_apart(asked: Asked, make_run: MakeRun) -> None:
    run = make_run("run", n=1)
    path = next((run / "tasks").glob("*.json"))
    record: dict[str, Any] = json.loads(path.read_text())
    long = "<script>alert(1)</script>" * 400_000
    record["turns"][0]["content"] = long
    path.write_text(json.dumps(record))
    client = asked(live_text_chars=1000)
    script = await client.get("/runs/run/rows/0.js")
    assert len(script.content) < 60_000
    assert f"[{len(long) - 1000:,} more characters]" in script.text
    whole = await client.get(f"/runs/run/tasks/{path.stem}/text?at=turns.0.content")
    assert whole.text == long
    assert whole.headers["content-type"].startswith("text/plain")
    for place in ("turns.9.content", "turns.-1.content", "nothing", "turns", "__class__"):
        assert (await client.get(f"/runs/run/tasks/{path.stem}/text", params={"at": place})).status_code == 404


async def test_a_record_beyond_the_limit_is_named(asked: Asked, make_run: MakeRun) -> None:
    run = make_run("run", n=1)
    path = next((run / "tasks").glob("*.json"))
    record = json.loads(path.read_text())
    record["answer"] = "x" * 2_000_000
    path.write_text(json.dumps(record))
    answer = await asked(live_record_mb=1).get("/runs/run/rows/0.js")
    assert answer.status_code == 404
    assert "LIVE_RECORD_MB" in answer.text


async def test_the_report_is_made_where_there_is_none(asked: Asked, make_run: MakeRun) -> None:
    run = make_run("run", n=3)
    answer = await asked().get("/runs/run/report", follow_redirects=True)
    assert answer.status_code == 200
    assert "Podium report" in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in policy
    assert not (run / "analysis").exists(), "the runs are read, not written"


async def test_the_runs_own_report_is_shown_while_it_is_current(asked: Asked, make_run: MakeRun) -> None:
    run = make_run("run", n=1)
    (run / "analysis").mkdir()
    (run / "analysis" / "report.html").write_text("its own")
    (run / "analysis" / "secret.txt").write_text("SECRET")
    client = asked()
    answer = await client.get("/runs/run/report", follow_redirects=True)
    assert answer.text == "its own"
    address = str(answer.url)
    assert (await client.get(address.replace("report.html", "secret.txt"))).status_code == 404
    assert (await client.get(address.replace("/made/", "/made/0"))).status_code == 404


async def test_two_runs_are_compared(asked: Asked, make_run: MakeRun) -> None:
    make_run("a", n=6)
    make_run("b", n=6, seed=2)
    client = asked()
    answer = await client.get("/compare?a=a&b=b", follow_redirects=True)
    assert "Podium comparison" in answer.text
    assert (await client.get("/compare?a=a&b=..")).status_code == 404


async def test_acts_need_a_service_with_a_token(asked: Asked, make_run: MakeRun) -> None:
    make_run("run", n=1)
    assert (await asked().post("/runs/run/control", json={"act": "stop"})).status_code == 403
    client = asked(live_token=TOKEN)
    assert (await client.post("/runs/run/control", json={"act": "stop"})).status_code == 401
    client.headers["Authorization"] = f"Bearer {TOKEN}"
    answer = await client.post("/runs/run/control", json={"act": "stop"})
    assert answer.status_code == 409
    assert "is not on" in answer.json()["detail"]
    assert (await client.post("/runs/run/control", json={"act": "rm"})).status_code == 422
    body = {"content": '{"act": "stop"}', "headers": {"Content-Type": "text/plain"}}
    assert (await client.post("/runs/run/control", **body)).status_code in (415, 422)


@pytest.mark.parametrize("reply", [{"done": "paused: 3 in flight go on"}, {"refused": "no calls go to x"}])
async def test_an_act_goes_to_the_runs_own_socket(asked: Asked, make_run: MakeRun, reply: dict[str, str]) -> None:
    run = make_run("run", n=1)
    heard: list[dict[str, Any]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(json.loads(await reader.readline()))
        writer.write(json.dumps(reply).encode() + b"\n")
        await writer.drain()
        writer.close()

    client = asked(live_token=TOKEN)
    client.headers["Authorization"] = f"Bearer {TOKEN}"
    async with await asyncio.start_unix_server(talk, run / SOCKET_NAME):
        answer = await client.post("/runs/run/control", json={"act": "limit", "provider": "x", "n": 3})
    assert heard == [{"act": "limit", "provider": "x", "n": 3, "source": "page"}]
    assert (answer.status_code, *answer.json().values()) == (200 if "done" in reply else 409, *reply.values())
