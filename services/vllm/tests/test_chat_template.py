"""The embedded model's template renders tools, calls and their results; the model's own drops them."""

import json

import jinja2
import pytest
from podium_vllm.embedded import chat_template

TOOL = {"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture
def template() -> jinja2.Template:
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(chat_template())


def test_a_conversation_without_tools(template: jinja2.Template) -> None:
    text = template.render(messages=[{"role": "user", "content": "Hello"}], add_generation_prompt=True)
    assert text.startswith("<|im_start|>system\n")
    assert text.endswith("<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
    assert "<tools>" not in text


def test_tools_stand_in_the_system_message(template: jinja2.Template) -> None:
    text = template.render(
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}], tools=[TOOL]
    )
    system = text.split("<|im_end|>")[0]
    assert system.startswith("<|im_start|>system\nBe brief.")
    listed = system.split("<tools>\n")[1].split("\n</tools>")[0]
    assert json.loads(listed) == TOOL["function"]
    assert text.count("Be brief.") == 1


@pytest.mark.parametrize("arguments", ['{"q": "a"}', {"q": "a"}])
def test_calls_and_results_are_shown_in_the_parsers_form(template: jinja2.Template, arguments: object) -> None:
    text = template.render(
        messages=[
            {"role": "user", "content": "Hello"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"function": {"name": "search", "arguments": arguments}}],
            },
            {"role": "tool", "content": "found"},
        ],
        tools=[TOOL],
    )
    call = text.split("<|im_start|>assistant")[1].split("<tool_call>\n")[1].split("\n</tool_call>")[0]
    assert json.loads(call) == {"name": "search", "arguments": {"q": "a"}}
    assert "<tool_response>\nfound\n</tool_response>" in text
