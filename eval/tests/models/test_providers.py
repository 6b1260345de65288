from pathlib import Path

import pytest
from podium_eval.errors import ConfigError
from podium_eval.models.providers import ModelSpec, ProviderTable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("together/meta-llama/Llama-3.3-70B", ModelSpec("together", "meta-llama/Llama-3.3-70B")),
        (" openai/gpt-5 ", ModelSpec("openai", "gpt-5")),
        ("vllm/m@http://h:1/v1", ModelSpec("vllm", "m", ("http://h:1/v1",))),
        ("vllm/o/m@http://h:1/v1/,https://g/v1", ModelSpec("vllm", "o/m", ("http://h:1/v1", "https://g/v1"))),
        ("vllm/m@v2@http://h/v1", ModelSpec("vllm", "m@v2", ("http://h/v1",))),
        ("vllm/m@http://u:p@h/v1", ModelSpec("vllm", "m", ("http://u:p@h/v1",))),
        ("together/endpoint-c2a4", ModelSpec("together", "endpoint-c2a4")),
        ("vllm/m@2024", ModelSpec("vllm", "m@2024")),
    ],
)
def test_experts_are_read_as_written(text: str, expected: ModelSpec) -> None:
    assert ModelSpec.parse(text, "EXPERT_ANSWER_1") == expected


@pytest.mark.parametrize("text", ["", "gpt-5", "/m", "openai/", "vllm/@http://h/v1", "vllm/m@http://h/v1,h2"])
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="EXPERT_ANSWER_1"):
        ModelSpec.parse(text, "EXPERT_ANSWER_1")


def table_of(text: str, tmp_path: Path) -> ProviderTable:
    path = tmp_path / "models.toml"
    path.write_text(text)
    return ProviderTable.load(path)


def test_later_rows_win_field_by_field(tmp_path: Path) -> None:
    table = table_of(
        '[[model]]\nprovider="openai"\nmodel="gpt-5*"\ncontext_tokens=1000\n'
        '[[model]]\nprovider="*"\nmodel="gpt-5-mini"\nreasoning_effort="low"\n',
        tmp_path,
    )
    assert table.quirks("openai", "gpt-5").context_tokens == 1000
    mini = table.quirks("openai", "gpt-5-mini")
    assert (mini.context_tokens, mini.reasoning_effort, mini.temperature) == (1000, "low", False)
    assert mini.max_tokens == "max_completion_tokens"


def test_a_known_provider_can_be_changed_in_part(tmp_path: Path) -> None:
    table = table_of('[[provider]]\nname="together"\nbase_url="https://eu.example/v1"\njson_schema=false\n', tmp_path)
    together = table.provider("together")
    assert together is not None
    assert together.base_url == "https://eu.example/v1"
    assert together.key
    assert together.hints
    assert not table.quirks("together", "m").json_schema


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[[model]]\nprovider="nobody"\nmodel="m"', "[[model]] row 1: provider = 'nobody' is none of vllm"),
        ('[[model]]\nprovider="openai"', "lacks model"),
        ('[[model]]\nprovider="openai"\nmodel="m"\ntemprature=false', "temprature is no field; use chat_template"),
        ('[[model]]\nprovider="openai"\nmodel="m"\ntemperature="no"', "temperature = 'no' is not of type bool"),
        ('[[model]]\nprovider="openai"\nmodel="m"\ncontext_tokens=true', "context_tokens = True is not of type int"),
        (
            '[[model]]\nprovider="openai"\nmodel="m"\nsystem="none"',
            "system = 'none' is none of system, developer, user",
        ),
        ('[[provider]]\nname="a b"', "name is letters"),
        ('[[provider]]\nname="a"\nbase_url="h"', "base_url = 'h' is not an address"),
        ('[[provider]]\nname="a"\nkey="K"', "key and local are true or false"),
        ("[[provder]]\na=1", "neither [[provider]] nor [[model]]"),
        ("=", "MODELS_FILE="),
        ('[[model]]\nprovider="vllm"\nmodel="m"\ncontext_tokens=-1', "line 1: [[model]] row 1: context_tokens = -1 is"),
        ('[model]\nprovider="vllm"', "line 1: rows begin with [[model]], in two brackets"),
        ('[[provider]]\nname="a"\nhints="x"', "hints is a table of texts"),
        ("x = " + "[" * 3000, "MODELS_FILE="),
    ],
)
def test_a_wrong_row_is_named(text: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        table_of(text, tmp_path)
    assert expected in str(caught.value)


def test_every_provider_row_says_where_it_is_from() -> None:
    table = ProviderTable.load()
    assert {"vllm", "openai", "together", "nebius"} <= set(table.names)
    for name in table.names:
        provider = table.provider(name)
        assert provider is not None
        assert provider.source
