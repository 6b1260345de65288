import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from podium_contracts.names import ALIASES, TOOLS
from podium_eval.files import json_bytes
from podium_eval.models.chat import ChatResult, ToolInvocation
from podium_eval.prompts.prompt_file import PromptError
from podium_eval.prompts.templates import load_prompts
from podium_eval.tools.specs import Chosen, Invalid, ToolSpecs, load_tool_specs

ALL = {alias: f"model-of-{alias}" for alias in ALIASES}


def result(*calls: tuple[str, str], text: str = "", reasoning: str | None = None) -> ChatResult:
    return ChatResult(
        text=text,
        reasoning=reasoning,
        tool_calls=tuple(ToolInvocation(*call) for call in calls),
        finish_reason="tool_calls",
        provider="p",
        model="m",
        server=None,
        duration_ms=1.0,
        limiter_ms=0.0,
        retry_ms=0.0,
        attempts=1,
    )


def original(tmp_path: Path, **enums: list[str] | None) -> Path:
    """A file in ToolOrchestra's form: OpenAI function tools with a `model` parameter."""
    tools: list[dict[str, Any]] = []
    for name, enum in enums.items():
        model: dict[str, Any] = {"type": "string", "description": "The model."}
        if enum is not None:
            model["enum"] = enum
        parameters = {"properties": {"model": model}, "required": ["model"], "title": "parameters", "type": "object"}
        tools.append({"type": "function", "function": {"name": name, "description": "d", "parameters": parameters}})
    path = tmp_path / "tools.json"
    path.write_text(json.dumps(tools))
    return path


def specs(experts: dict[str, str] | None = None, **options: Any) -> ToolSpecs:
    return load_tool_specs(load_prompts(**options), ALL if experts is None else experts)


def test_the_built_in_tools_offer_every_alias_once() -> None:
    offered = [alias for tool in TOOLS for alias in specs().aliases_of(tool)]
    assert sorted(offered) == sorted(ALIASES)


def test_experts_that_are_not_configured_are_not_offered() -> None:
    some = specs({"search-2": "a", "reasoner-1": "b", "answer-math-1": "c"})
    enums = {spec.name: spec.parameters["properties"]["model"]["enum"] for spec in some.specs}
    assert enums == {"search": ["search-2"], "enhance_reasoning": ["reasoner-1"], "answer": ["answer-math-1"]}
    assert isinstance(some.read(result(("search", '{"model":"search-1"}'))), Invalid)


def test_a_tool_without_any_expert_is_left_out() -> None:
    found = load_tool_specs(load_prompts(), {"answer-1": "a"})
    assert [spec.name for spec in found.specs] == ["answer"]
    with pytest.raises(PromptError, match="none of the experts of 'answer'"):
        load_tool_specs(load_prompts(), {"search-1": "s"})


def test_a_mounted_file_speaks_of_models_and_means_aliases(tmp_path: Path) -> None:
    path = original(
        tmp_path,
        search=["gpt-5", "Qwen/Qwen3-32B"],
        enhance_reasoning=["reasoner-1"],
        answer=["Llama-3.3-70B", "other"],
    )
    experts = {
        "search-1": "gpt-5",
        "search-2": "Qwen/Qwen3-32B",
        "reasoner-1": "x",
        "answer-1": "meta-llama/Llama-3.3-70B",
        "answer-2": "y",
    }
    found = load_tool_specs(load_prompts(tools_file=path), experts, {"other": "answer-2"})
    for tool, name, alias in (
        ("search", "gpt-5", "search-1"),
        ("search", "Qwen/Qwen3-32B", "search-2"),
        ("answer", "Llama-3.3-70B", "answer-1"),
        ("answer", "other", "answer-2"),
        ("enhance_reasoning", "reasoner-1", "reasoner-1"),
    ):
        chosen = found.read(result((tool, json.dumps({"model": name}))))
        assert chosen == Chosen(tool, alias, {"model": name})  # type: ignore[arg-type]
    assert found.specs[0].parameters["properties"]["model"]["enum"] == ["gpt-5", "Qwen/Qwen3-32B"]
    assert found.specs[0].parameters["title"] == "parameters"


def test_a_mounted_file_without_enums_takes_aliases_and_mapped_names(tmp_path: Path) -> None:
    path = original(tmp_path, search=None, enhance_reasoning=None, answer=None)
    found = load_tool_specs(load_prompts(tools_file=path), ALL, {"gpt-5": "answer-1"})
    assert found.read(result(("answer", '{"model":"gpt-5"}'))) == Chosen("answer", "answer-1", {"model": "gpt-5"})


@pytest.mark.parametrize(
    ("enums", "message"),
    [
        ({"search": ["nobody"], "answer": ["answer-1"]}, "'nobody' is no alias.*TOOL_MODEL_ALIASES"),
        ({"browse": ["search-1"]}, "'browse' is none of search"),
        ({"search": ["search-1"]}, "lacks the tool 'answer'"),
        ({"search": ["answer-1"], "answer": ["answer-1"]}, "'answer-1' is an expert of 'answer', not of 'search'"),
    ],
)
def test_an_unusable_mounted_file_is_refused_by_name(tmp_path: Path, enums: dict[str, list[str]], message: str) -> None:
    path = original(tmp_path, **enums)
    with pytest.raises(PromptError, match=message) as caught:
        load_tool_specs(load_prompts(tools_file=path), ALL)
    assert str(path) in str(caught.value)


def test_without_enums_each_tool_takes_its_own_experts_alone(tmp_path: Path) -> None:
    found = load_tool_specs(load_prompts(tools_file=original(tmp_path, search=None, answer=None)), ALL)
    assert found.aliases_of("search") == {"search-1", "search-2", "search-3"}
    assert isinstance(found.read(result(("search", '{"model":"answer-1"}'))), Invalid)


def test_one_model_name_may_stand_in_every_tool(tmp_path: Path) -> None:
    path = original(tmp_path, search=["gpt-5"], enhance_reasoning=["gpt-5"], answer=["gpt-5"])
    experts = {"search-1": "gpt-5", "reasoner-2": "openai/gpt-5", "answer-1": "gpt-5"}
    found = load_tool_specs(load_prompts(tools_file=path), experts)
    for tool, alias in (("search", "search-1"), ("enhance_reasoning", "reasoner-2"), ("answer", "answer-1")):
        assert found.aliases_of(tool) == {alias}


def test_a_model_of_two_aliases_must_be_told_apart(tmp_path: Path) -> None:
    path = original(tmp_path, answer=["same"])
    with pytest.raises(PromptError, match="is the model of answer-1, answer-2"):
        load_tool_specs(load_prompts(tools_file=path), {"answer-1": "same", "answer-2": "same"})


@pytest.mark.parametrize("text", ["", "{}", "[]", '[{"type": "function"}]', "[1]"])
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tools.json"
    path.write_text(text)
    with pytest.raises(PromptError, match=str(path)):
        load_tool_specs(load_prompts(tools_file=path), ALL)


def test_only_some_experts_for_a_question_that_must_be_seen() -> None:
    seeing = specs().only(frozenset({"answer-2", "search-1"}))
    assert [spec.name for spec in seeing.specs] == ["search", "answer"]
    assert seeing.read(result(("answer", '{"model":"answer-2"}'))) == Chosen(
        "answer", "answer-2", {"model": "answer-2"}
    )
    assert isinstance(seeing.read(result(("answer", '{"model":"answer-1"}'))), Invalid)
    assert isinstance(seeing.read(result(("enhance_reasoning", '{"model":"reasoner-1"}'))), Invalid)


def test_mounted_prompts_replace_built_in_ones_singly(tmp_path: Path) -> None:
    (tmp_path / "answer.md").write_text("Only {problem}, \\boxed{} and {answer_form}.")
    prompts = load_prompts(tmp_path)
    built_in = load_prompts()
    assert prompts.fill("answer.md", problem="{knowledge}", answer_form="F") == "Only {knowledge}, \\boxed{} and F."
    assert prompts.texts["search.md"] == built_in.texts["search.md"]
    changed = {name for name in built_in.hashes if prompts.hashes[name] != built_in.hashes[name]}
    assert changed == {"answer.md"}


def test_a_prompt_without_the_question_is_refused(tmp_path: Path) -> None:
    (tmp_path / "answer.md").write_text("Answer.")
    with pytest.raises(PromptError, match=r"answer\.md: lacks \{problem\}"):
        load_prompts(tmp_path)
    with pytest.raises(PromptError, match="PROMPTS_DIR"):
        load_prompts(tmp_path / "none")


def test_knowledge_stands_between_problem_and_request() -> None:
    text = load_prompts().texts["orchestrator.md"]
    assert text.index("{problem}") < text.index("{knowledge}") < text.index("Call one tool now")


@pytest.mark.parametrize(
    "call",
    [
        ("search", '{"model": "search-1"}'),
        ("functions.search", '{"model": "search-1"}'),
        ("search<|channel|>commentary", '{"model": "search-1"}'),
        (" search ", '{"model": " search-1 "}'),
        ("search", json.dumps('{"model": "search-1"}')),
    ],
)
def test_a_call_is_read_in_each_servers_form(call: tuple[str, str]) -> None:
    chosen = specs().read(result(call))
    assert isinstance(chosen, Chosen)
    assert (chosen.tool, chosen.alias) == ("search", "search-1")


DEEP = '{"model": "search-1", "x": ' + '{"a": ' * 5000 + "1" + "}" * 5000 + "}"


@pytest.mark.parametrize("arguments", [DEEP, "[" * 100_000, '"' + "[" * 3000 + '"', "5", "null", "nope", '"a"'])
def test_arguments_that_nothing_can_hold_are_an_invalid_turn(arguments: str) -> None:
    invalid = specs().read(result(("search", arguments)))
    assert isinstance(invalid, Invalid)
    assert invalid.arguments == {}


def test_arguments_that_are_kept_can_be_written() -> None:
    many = "9" * 5000
    chosen = specs().read(result(("search", f'{{"model": "search-1", "n": {many}, "f": 1e999, "x": NaN}}')))
    assert isinstance(chosen, Chosen)
    assert json.loads(json_bytes(chosen.arguments))["n"] == many


def test_a_written_call_is_found_behind_many_that_are_none() -> None:
    text = "<tool_call>{" * 50_000 + '<tool_call>{"name": "search", "arguments": {"model": "search-2"}}</tool_call>'
    assert isinstance(specs().read(result(text=text)), Chosen)
    cut = 'so: <tool_call>{"name": "search", "arguments": {"model": "search-2"}}'
    assert isinstance(specs().read(result(reasoning=cut)), Chosen)


@given(st.text(), st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_call_is_chosen_or_invalid(name: str, arguments: str) -> None:
    read = specs().read(result((name, arguments)))
    json_bytes(read.arguments)
    assert isinstance(read, Chosen | Invalid)
