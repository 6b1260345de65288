import itertools
import json
from pathlib import Path

import pytest
from harness.chain import EXPERTS, GOLD, TURNS, call, questions, server
from harness.process import Eval, assert_whole
from loopback.openai_server import Reply, Rule
from podium_eval.__main__ import main
from podium_eval.settings.read import Settings


def test_every_setting_is_an_option_with_its_description(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--help"])
    assert ended.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    for name, field in Settings.model_fields.items():
        if field.exclude or name == "added_providers":
            continue
        assert f"--{name.replace('_', '-')}" in said
        assert field.description, f"{name} has no description"


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["rn"], "there is no command 'rn'; did you mean run?"),
        (["play"], "there is no command 'play'; there are run, check"),
        (["run", "--max-round", "3"], "unrecognized arguments: --max-round 3; did you mean --max-rounds?"),
        (["run", "--no-such-option"], "unrecognized arguments: --no-such-option"),
        (["run", "--tool-model-aliases", "{"], "is no JSON"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_two_lines(
    argv: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: object = main(argv)
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    err = capsys.readouterr().err
    assert line in err
    assert len(err.splitlines()) <= 2


def test_help_begins_with_the_ten_most_used_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    shown = capsys.readouterr().out
    first, _, rest = shown.partition("most used:")[2].partition("the run:")
    assert [word for word in first.split() if word.startswith("--")] == [
        *("--dataset", "--run-id", "--limit", "--concurrency", "--expert-default", "--judge", "--budget"),
        *("--protocol", "--orchestrator-url", "--retrieval-url"),
    ]
    assert len(shown.split("most used:")[0].splitlines()) < 12
    assert "models:" in rest


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("podium-eval 0.")


async def test_command_line_beats_environment_beats_env_file(tmp_path: Path) -> None:
    (tmp_path / "own.env").write_text("MAX_ROUNDS=7\nCONCURRENCY=7\nEPOCHS=1\n# a comment\nGRACE_S=7\n")
    async with server() as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["a"]), concurrency=8, max_rounds=8)
        status = await run.run("--env-file", str(tmp_path / "own.env"), "--max-rounds", "9")
        assert status == 0, run.said
    settings = json.loads(run.folder.manifest.read_text())["settings"]
    assert (settings["max_rounds"], settings["concurrency"], settings["grace_s"]) == (9, 8, 7)


async def test_swapping_an_expert_is_one_variable(tmp_path: Path) -> None:
    other = [Rule([Reply(text=f"<answer>{GOLD}</answer>", model="other-2026-01-01")], contains=("Answer the problem",))]
    async with server() as stub, server(script=other) as second:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["a"]))
        assert await run.run("--expert-answer-1", f"vllm/other@{second.address}/v1") == 0, run.said
        assert second.stats.chat_requests == 1
    assert_whole(run, ["a"])
    answered = [event for event in run.events("llm_call") if event.get("tool") == "answer"]
    assert [(event["alias"], event["model"], event["server"]) for event in answered] == [
        ("answer-1", "other-2026-01-01", f"{second.address}/v1")
    ]
    assert json.loads(run.folder.manifest.read_text())["experts"]["answer-1"]["model"] == "other"


async def test_a_tools_file_of_the_original_form_runs(tmp_path: Path) -> None:
    names = {"search": "gpt-5-mini", "enhance_reasoning": "coder-32b", "answer": "gpt-5"}
    tools = [
        {
            "type": "function",
            "function": {
                "name": tool,
                "description": "A tool.",
                "parameters": {
                    "properties": {"model": {"type": "string", "enum": [name], "description": "Which model."}},
                    "required": ["model"],
                    "title": "parameters",
                    "type": "object",
                },
            },
        }
        for tool, name in names.items()
    ]
    (tmp_path / "tools.json").write_text(json.dumps(tools))
    aliases = {"gpt-5-mini": "search-1", "coder-32b": "reasoner-1", "gpt-5": "answer-1"}
    turns = [
        Rule([call("search", "gpt-5-mini")], contains=("Call one tool now",), absent=("## Document",)),
        Rule([call("enhance_reasoning", "coder-32b")], contains=("Call one tool now",), absent=("## Program",)),
        Rule([call("answer", "gpt-5")], contains=("Call one tool now",)),
    ]
    async with server(script=[*turns, *EXPERTS]) as stub:
        run = Eval(
            tmp_path,
            stub.address,
            questions(tmp_path / "q.jsonl", ["a"]),
            tools_file=tmp_path / "tools.json",
            tool_model_aliases=json.dumps(aliases),
        )
        assert await run.run() == 0, run.said
    assert_whole(run, ["a"])
    assert [turn.alias for turn in run.records()["a"].turns] == ["search-1", "reasoner-1", "answer-1"]


async def test_mounted_prompts_are_used_and_named_in_run_json(tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "answer.md").write_text("Answer the problem in my own way: {problem} ({answer_form})")
    async with server(record=True, script=[*TURNS, *EXPERTS]) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["a"]))
        assert await run.run() == 0, run.said
        before = json.loads(run.folder.manifest.read_text())["prompts"]
        run = Eval(tmp_path, stub.address, tmp_path / "q.jsonl", prompts_dir=folder, epochs=1, run_id="other")
        assert await run.run() == 0, run.said
        asked = [json.dumps(one.body) for one in stub.requests]
    after = json.loads((run.runs / "other" / "run.json").read_text())["prompts"]
    assert {name for name in before if before[name] != after[name]} == {"answer.md"}
    assert sum("in my own way: Question a" in one for one in asked) == 1


async def test_each_turns_prompt_extends_the_one_before(tmp_path: Path) -> None:
    """What vLLM's prefix cache can reuse: all of a turn's prompt up to the ask at its end."""
    async with server(record=True) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ["a"]))
        assert await run.run() == 0, run.said
        turns = [one.body["messages"] for one in stub.requests if one.body.get("tools")]
    assert len(turns) == 3
    assert all(messages[0] == turns[0][0] for messages in turns)
    users = [messages[-1]["content"] for messages in turns]
    for before, after in itertools.pairwise(users[1:]):
        known = before.index("# Your turn")
        assert after[:known].rstrip() == before[:known].rstrip()
        assert len(after) > len(before)
