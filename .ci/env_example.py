"""Write .env.example and the list of setting names from the settings classes. `make env-example`."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import msgspec

ROOT = Path(__file__).resolve().parent.parent


class Setting(NamedTuple):
    """One line of the file."""

    name: str
    default: str
    description: str


HEADER = """\
# Every setting of Podium with its default. Copy to .env and set what differs. docker compose and
# every command read it from the folder they are started in (podium-eval: or --env-file); the environment wins over it.
# Written by `make env-example` from the settings classes: descriptions are changed there.
#
# The fifteen that most people set (two GPUs, experts at a provider):
#
#   DATASET=datasets/hle.jsonl                    # the questions; hub:cais/hle with HF_TOKEN
#   SERVE_MODEL=nvidia/Nemotron-Orchestrator-8B   # the orchestrator that vLLM serves
#   INDEX_DIR=./index                             # the search index (podium-retrieval build-index)
#   EMBEDDING_MODEL=Qwen/Qwen3-Embedding-8B       # the model that made it
#   EXPERT_DEFAULT=together/openai/gpt-oss-120b   # every expert that has no line of its own
#   EXPERT_ANSWER_1=openai/gpt-5                  # one expert
#   JUDGE=openai/gpt-5.4-mini                     # who grades
#   OPENAI_API_KEY=…                              # keys of the providers named above
#   TOGETHER_API_KEY=…
#   TAVILY_API_KEY=…                              # the web, where the index finds too little
#   CONCURRENCY=512                               # tasks at once
#   LIMIT=20                                      # the first so many questions alone
#   BUDGET=50                                     # USD at which no further task is taken
#   PROTOCOL=hle                                  # or toolorchestra
#   RUN_ID=first                                  # the run's name; the same name resumes it
#
# Without a GPU, on the embedded models and our own questions:
#
#   COMPOSE_FILE=docker-compose.yml:docker-compose.cpu.yml
"""

COMPOSE = (
    Setting("ORCHESTRATOR_GPU", "0", "GPU of vLLM; podium-local also takes auto, the freest."),
    Setting("RETRIEVAL_GPU", "1", "GPU of retrieval; podium-local also takes auto, the freest."),
    Setting("ORCHESTRATOR_PORT", "1406", "Port of vLLM on 127.0.0.1 of the host."),
    Setting(
        "RETRIEVAL_PORT", "1401", "Port of retrieval on 127.0.0.1 of the host; inside its container it stays 1401."
    ),
    Setting("VLLM_IMAGE", "vllm/vllm-openai:v0.26.0", "Official image that the GPU's vLLM image is built from."),
    Setting("PODIUM_TAG", "latest", "Tag of the images that compose builds and starts."),
    Setting("TORCH_CPU_INDEX", "", "Where the CPU images take torch when pip's own configuration has no CPU build."),
    Setting(
        "SERVICES_ENV_FILE",
        "services.env",
        "File with further variables for vLLM's and retrieval's containers, such as VLLM_… or HF_HUB_OFFLINE: of .env "
        "they see their own settings alone.",
    ),
    Setting("DATASETS_DIR", "./datasets", "Folder that eval sees as datasets/."),
    Setting("RUNS_VOLUME", "runs", "Volume of the runs; a folder such as ./runs must be writable for uid 10001."),
    Setting("RESTARTS", "5", "How often a service that dies is started again."),
    Setting("NOFILE", "16384", "Open files of each container; CONCURRENCY=512 needs about 800."),
    Setting("SHM_SIZE", "8gb", "Shared memory of vLLM's container (1gb on the CPU)."),
    Setting("LOG_MAX_SIZE", "20m", "Largest log file of a container, before it is rotated."),
    Setting("LOG_MAX_FILES", "3", "Log files kept of a container."),
    Setting("SANDBOX_MEMORY", "8g", "Memory of the sandbox's container, all programs together."),
    Setting("SANDBOX_PIDS", "1024", "Processes of the sandbox's container, all programs together."),
    Setting("SANDBOX_TMP", "2g", "Scratch space of the sandbox's container, in memory."),
)


def of_pydantic(cls: Any) -> Iterator[Setting]:
    """The fields of a pydantic settings class that a user can set."""
    prefix: str = cls.model_config.get("env_prefix", "") or ""
    for name, field in cls.model_fields.items():
        if field.exclude or name.startswith("added_"):
            continue
        default = field.get_default(call_default_factory=True)
        yield Setting((prefix + name).upper(), shown(default), field.description or "")


def of_analysis() -> Iterator[Setting]:
    """The analysis' settings, which are a msgspec structure."""
    from podium_analysis.settings import AnalysisSettings

    described = get_type_hints(AnalysisSettings, include_extras=True)
    for field in msgspec.structs.fields(AnalysisSettings):
        description = described[field.name].__metadata__[0].description
        default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        yield Setting(field.name.upper(), shown(default), description)


def of_serve() -> Iterator[Setting]:
    """The SERVE_ settings, which are a standard library dataclass."""
    from podium_vllm.settings import PREFIX, ServeSettings

    for field in dataclasses.fields(ServeSettings):
        yield Setting(PREFIX + field.name.upper(), shown(field.default), field.metadata["description"])


def shown(value: Any) -> str:
    """A default as one would write it; unset and secret ones are empty."""
    if value is None or value == () or value == {}:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def sections() -> list[tuple[str, list[Setting]]]:
    """Every part's settings. One that several parts share stands where it comes first."""
    from podium_eval.settings.judge import JudgeSettings
    from podium_eval.settings.models import ModelSettings
    from podium_eval.settings.run import HubSettings, RunSettings
    from podium_live.settings import LiveSettings
    from podium_local.settings import LocalSettings
    from podium_retrieval.settings import Settings as RetrievalSettings
    from podium_sandbox.settings import SandboxSettings

    parts = [
        ("Containers (docker compose alone)", list(COMPOSE)),
        ("The run", list(of_pydantic(RunSettings))),
        ("Models: orchestrator, experts, judge", list(of_pydantic(ModelSettings)) + list(of_pydantic(JudgeSettings))),
        ("Datasets from the hub", list(of_pydantic(HubSettings))),
        ("vLLM", list(of_serve())),
        ("Retrieval", list(of_pydantic(RetrievalSettings))),
        ("Sandbox", list(of_pydantic(SandboxSettings))),
        ("Analysis", list(of_analysis())),
        ("podium-local", list(of_pydantic(LocalSettings))),
        ("The live page", list(of_pydantic(LiveSettings))),
    ]
    seen: set[str] = set()
    result: list[tuple[str, list[Setting]]] = []
    for title, settings in parts:
        result.append((title, [s for s in settings if s.name not in seen]))
        seen |= {s.name for s in settings}
    return result


def text() -> str:
    """The whole file."""
    lines = [HEADER]
    for title, settings in sections():
        lines.append(f"# --- {title} ---")
        for setting in settings:
            lines += [f"# {setting.description}", f"# {setting.name}={setting.default}"]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def names() -> str:
    """What podium_contracts knows as settings, a line each."""
    more = ("COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES")
    return "\n".join(sorted({setting.name for _, part in sections() for setting in part} | set(more))) + "\n"


NAMES = ROOT / "services/contracts/podium_contracts/setting_names.txt"

if __name__ == "__main__":
    (ROOT / ".env.example").write_text(text())
    NAMES.write_text(names())
    sys.exit(0)
