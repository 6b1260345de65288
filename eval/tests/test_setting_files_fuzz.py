"""Any value in any field of the files that a user or a run writes: taken, or refused by name; 600 examples each."""

import contextlib
import json
import os
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from podium_contracts.names import ALIASES
from podium_eval.commands.check_items import listed_models
from podium_eval.costs.prices import Prices
from podium_eval.errors import ConfigError
from podium_eval.log.redact import Redactor
from podium_eval.models.providers import ProviderTable
from podium_eval.prompts.prompt_file import PromptError
from podium_eval.prompts.templates import load_prompts
from podium_eval.run.manifest import OtherRun, next_segment, open_manifest
from podium_eval.settings.judge import JudgeSettings
from podium_eval.settings.read import Settings, read_settings
from podium_eval.tools.specs import load_tool_specs

OFTEN = settings(
    max_examples=600,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**30, 10**40)
    | st.floats()
    | st.text(max_size=20)
    | st.just("9" * 5000)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)

FIELDS: dict[str, Any] = {
    "run_id": "r",
    "protocol": "hle",
    "dataset": {"sha256": "a" * 64, "path": "q.jsonl", "n": 2, "n_selected": 2},
    "epochs": 1,
    "orchestrator": {"model": "m", "provider": "vllm", "addresses": ["http://h/v1"]},
    "prompts": {"answer.md": "b" * 64},
    "settings": {"limit": 2},
    "experts": {},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every field of a JSON value, however deep."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(deeper for key, one in inner for deeper in places(one, (*path, key)))] if path or inner else [path]


def with_value(whole: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with one field replaced."""
    if not path:
        return value
    copy = list(whole) if isinstance(whole, list) else dict(whole)
    copy[path[0]] = with_value(whole[path[0]], path[1:], value)
    return copy


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    path = tmp_path_factory.mktemp("run") / "run.json"
    open_manifest(path, FIELDS, ts="t", redactor=Redactor())
    return path, json.loads(path.read_bytes())


@OFTEN
@given(st.data())
def test_any_field_of_run_json_is_taken_or_refused(written: tuple[Path, Any], data: st.DataObject) -> None:
    path, whole = written
    place = data.draw(st.sampled_from(places(whole)))
    path.write_text(json.dumps(with_value(whole, place, data.draw(values))))
    assert next_segment(path) >= 1
    with contextlib.suppress(OtherRun):
        open_manifest(path, FIELDS, ts="t", redactor=Redactor())


NAMES = [name.upper() for name, field in Settings.model_fields.items() if not field.exclude]
NAMES += [f"JUDGE_{name.upper()}" for name in JudgeSettings.model_fields]


@OFTEN
@given(
    st.sampled_from(NAMES),
    st.text(max_size=30) | scalars.map(str) | values.map(lambda value: json.dumps(value)) | st.text(string.punctuation),
)
def test_any_value_in_env_is_taken_or_refused_by_name(tmp_path: Path, name: str, value: str) -> None:
    file = tmp_path / "settings.env"
    file.write_bytes(f"{name}={value}\n".encode("utf-8", "surrogatepass"))
    problems: tuple[str, ...] = ()
    try:
        read_settings({}, str(file))
    except ConfigError as error:
        problems = error.problems
    assert all(name in problem or str(file) in problem for problem in problems)


@OFTEN
@given(st.binary(max_size=200))
def test_any_bytes_are_an_env_file_or_refused(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "settings.env"
    file.write_bytes(raw)
    with contextlib.suppress(ConfigError):
        read_settings({}, str(file))


TOOLS = json.loads(load_prompts().tools)
EXPERTS = {alias: f"model-{alias}" for alias in ALIASES}


@OFTEN
@given(st.data())
def test_any_field_of_tools_file_is_taken_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(places(TOOLS)))
    file = tmp_path / "tools.json"
    file.write_text(json.dumps(with_value(TOOLS, place, data.draw(values))))
    with contextlib.suppress(PromptError):
        load_tool_specs(load_prompts(tools_file=file), EXPERTS)


RAW = st.sampled_from(
    [
        *("5", "-1", "0", "nan", "inf", "-inf", "1e400", "1e-400", '""', '"x"', "true", "[]", "[1]", "{}", "{a = 1}"),
        *("[[]]", "2026-11-22", "1979-05-27T07:32:00Z", "9" * 400, "'''a'''", "0x1F", "1_000", "nonsense", "="),
        '"' + "y" * 5000 + '"',
    ]
)
TOKENS = {
    "provider": '"p"',
    "model": '"m"',
    "input": "1.0",
    "output": "2.0",
    "cached_input": "0.5",
    "date": "2026-11-22",
    "source": '"here"',
}
PROVIDER = {"name": '"p"', "base_url": '"http://h/v1"', "key": "true", "local": "false"}
KEYS = st.sampled_from(
    [*TOKENS, *PROVIDER, "tiers", "inptu", "vision", "context_tokens", "max_tokens", "pattern", '""', "a.b"]
)


@OFTEN
@given(st.sampled_from(["tokens", "unit", "provider", "model", "token", "x.y"]), st.dictionaries(KEYS, RAW, max_size=4))
def test_any_row_of_prices_and_models_is_taken_or_refused(tmp_path: Path, table: str, changes: dict[str, str]) -> None:
    for name, base in (("prices.toml", TOKENS), ("models.toml", PROVIDER)):
        file = tmp_path / name
        row = "\n".join(f"{key} = {value}" for key, value in {**base, **changes}.items())
        file.write_text(f"[[{table}]]\n{row}\n")
        load = Prices.load if name == "prices.toml" else ProviderTable.load
        told = ""
        try:
            load(file)
        except ConfigError as error:
            told = str(error)
        assert not told or name in told


@OFTEN
@given(st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode()))
def test_any_answer_is_a_list_of_models_or_none(raw: bytes) -> None:
    names = listed_models(raw)
    assert names is None or all(isinstance(name, str) for name in names)


def test_the_environment_of_these_tests_is_clean() -> None:
    assert not [name for name in NAMES if name in os.environ]
