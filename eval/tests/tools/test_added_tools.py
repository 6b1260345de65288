"""A tool of another package: found by its entry point, asked by the orchestrator, held to limits, in the log."""

import json
from pathlib import Path

from harness.chain import questions, server
from harness.process import Eval
from loopback.openai_server import Reply, Rule

MODULE = """
import asyncio, os, time
from podium_eval.costs.prices import Charge
from podium_eval.tools.tool import ToolResult

class Clock:
    name = "clock"
    description = "Tells the time in a town."
    parameters = {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}
    aliases = ()

    def __init__(self, context):
        self.clock = context.clock

    async def use(self, request):
        town = request.arguments["town"]
        if town == "Atlantis":
            raise KeyError(town)
        if town == "Hades":
            raise SystemExit(4)
        if town == "Never":
            await asyncio.sleep(60)
        result = ToolResult(text=f"It is noon in {town}." + "!" * 100_000, charge=Charge(0.5))
        result.parts.parts_ms = {"look_up": 0.25}
        return result
"""


def installed(folder: Path, module: str = MODULE) -> dict[str, str]:
    """A small real package; the variables with which a process sees it."""
    site = folder / "site"
    info = site / "podium_clock-1.2.dist-info"
    info.mkdir(parents=True)
    (site / "podium_clock.py").write_text(module)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: podium-clock\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[podium.tools]\nclock = podium_clock:Clock\n")
    return {"PYTHONPATH": str(site)}


def asks(town: object, *, absent: str) -> Rule:
    call = ("clock", json.dumps({"town": town}))
    return Rule([Reply(text=None, tool_calls=(call,))], contains=("Call one tool now",), absent=(absent,))


ANSWER = [
    Rule([Reply(text=None, tool_calls=(("answer", '{"model": "answer-1"}'),))], contains=("Call one tool now",)),
    Rule([Reply(text="<answer>42</answer>")], contains=("Answer the problem",)),
]


async def test_an_entry_point_s_tool_is_asked_and_logged(tmp_path: Path) -> None:
    script = [
        asks("Atlantis", absent="Atlantis"),
        asks("Hades", absent="Hades"),
        asks("Never", absent="Never"),
        asks(7, absent="is no string"),
        asks("Oslo", absent="noon in Oslo"),
        *ANSWER,
    ]
    async with server(script=script) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["a"]), tools="answer,clock")
        env = {**installed(tmp_path), "TOOL_TIMEOUT_S": "0.5", "TOOL_RESULT_CHARS": "300"}
        assert await run.run(env=env) == 0, run.said
    turns = run.records()["a"].turns
    assert [(turn.tool, turn.status, turn.error_type) for turn in turns] == [
        ("clock", "failed", "tool_error"),
        ("clock", "failed", "tool_error"),
        ("clock", "failed", "tool_error"),
        ("clock", "invalid", None),
        ("clock", "ok", None),
        ("answer", "ok", None),
    ]
    assert "KeyError" in str(turns[0].error_message)
    assert "TOOL_TIMEOUT_S" in str(turns[2].error_message)
    assert len(str(turns[4].result)) < 400
    lines = [json.loads(line) for line in run.folder.events.read_text().splitlines()]
    (called,) = [line for line in lines if line["type"] == "tool_call" and line.get("parts_ms")]
    assert (called["tool"], called["provider"], called["model"]) == ("clock", "tool", "podium-clock 1.2")
    assert (called["parts_ms"], called["cost_usd"]) == ({"look_up": 0.25}, 0.5)
    assert json.loads(run.folder.manifest.read_text())["added_tools"][0]["name"] == "clock"
    assert "Traceback" in run.folder.log.read_text()


async def test_a_tool_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    async with server() as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["a"]), tools="answer,clock")
        assert await run.run(env=installed(tmp_path, "raise RuntimeError('no clock here')")) == 2, run.said
        assert "podium-clock 1.2" in run.said
        assert "no clock here" in run.said
        assert await run.run(env={"TOOLS": "answer,sundial"}) == 2
        assert "there is no tool 'sundial'" in run.said
        assert await run.run(env={"TOOLS": "search"}) == 2
        assert "leaves out answer" in run.said
