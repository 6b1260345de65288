""".env.example names every setting once, with its default and a description, and no setting that does not exist."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("env_example", ROOT / ".ci" / "env_example.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def listed() -> dict[str, str]:
    """NAME -> default, as the file shows them; a name that stands twice fails."""
    found: dict[str, str] = {}
    for line in (ROOT / ".env.example").read_text().splitlines():
        match = re.fullmatch(r"# ([A-Z][A-Z0-9_]*)=(.*)", line)
        if match:
            assert match[1] not in found, f"{match[1]} stands twice"
            found[match[1]] = match[2]
    return found


def test_the_file_is_what_the_settings_classes_say(writer: ModuleType) -> None:
    assert (ROOT / ".env.example").read_text() == writer.text(), "run make env-example"


def test_the_list_of_names_is_the_settings_classes(writer: ModuleType) -> None:
    assert writer.NAMES.read_text() == writer.names(), "run make env-example"


def test_the_names_that_others_rely_on_are_there() -> None:
    names = {
        "ORCHESTRATOR_URL ORCHESTRATOR_MODEL ORCHESTRATOR_TOOL_CHOICE RETRIEVAL_URL SANDBOX_URL RUNS_DIR RUN_ID",
        "CONCURRENCY MAX_ROUNDS LOG_LEVEL PROMPTS_DIR TOOLS_FILE JUDGE INDEX_DIR EMBEDDING_MODEL EXAMPLE_IDS_FILE",
        "TAVILY_API_KEY OPENAI_API_KEY TOGETHER_API_KEY NEBIUS_API_KEY OPENAI_BASE_URL EXPERT_ANSWER_MATH_1 DATASET",
    }
    assert set(" ".join(names).split()) <= set(listed())


def test_every_setting_says_what_it_is(writer: ModuleType) -> None:
    silent = [s.name for _, settings in writer.sections() for s in settings if len(s.description) < 10]
    assert not silent


def test_no_default_is_a_secret() -> None:
    for name, default in listed().items():
        if name.endswith(("_API_KEY", "_TOKEN")):
            assert default == "", name


def test_compose_uses_no_variable_that_is_not_listed() -> None:
    names = set(listed())
    for file in ("docker-compose.yml", "docker-compose.cpu.yml"):
        text = (ROOT / file).read_text()
        used = set(re.findall(r"\$\{([A-Z0-9_]+)", text)) | set(re.findall(r"^ {6}([A-Z0-9_]+):$", text, re.M))
        assert used <= names, f"{file}: {sorted(used - names)}"


def test_the_embedded_default_sets_only_what_exists() -> None:
    lines = (ROOT / "services" / "vllm" / "embedded.env").read_text().splitlines()
    set_there = {line.split("=")[0] for line in lines if line and not line.startswith("#")}
    assert set_there <= set(listed())
