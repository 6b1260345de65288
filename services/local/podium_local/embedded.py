"""The embedded default: a small real model, a small real embedder, our own questions and passages.

What it needs is made once, under the state folder: the model from its GGUF, the index from the corpus.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

SAMPLES: Final = {
    "hle": ("demo", "questions.jsonl"),
    "frames": ("frames", "questions.tsv"),
    "simpleqa": ("simpleqa", "questions.csv"),
    "custom": ("custom", "questions.jsonl"),
}
"""Of each built-in benchmark its sample in podium_eval's data."""


class NotPrepared(RuntimeError):
    """The embedded default cannot be made ready; the message names what is missing."""


def package_file(package: str, *parts: str) -> Path:
    """A file inside an installed package, found without importing it.

    Raises:
        NotPrepared: no such package, or no such file in it.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise NotPrepared(f"{package} is not installed: run make setup")
    path = Path(spec.origin).parent.joinpath(*parts)
    if not path.exists():
        raise NotPrepared(f"{path} is missing: install {package} again")
    return path


def defaults(root: Path, state: Path, orchestrator_url: str, benchmark: str = "hle") -> dict[str, str]:
    """The embedded default's settings, to be laid under the user's own.

    `root` is the clone, `state` the folder of what is made once; the experts and the judge are the same server, of
    several replicas the first.
    DATASET is our own sample in the fields of a built-in benchmark; of another there is none.

    Raises:
        NotPrepared: `root` is no clone, or podium-eval is not installed.
    """
    settings_file = root / "services" / "vllm" / "embedded.env"
    if not settings_file.is_file():
        raise NotPrepared(f"{settings_file} is missing: run podium-local in a clone of Podium, or name it with --root")
    values = {name: value for name, value in dotenv_values(settings_file).items() if value is not None}
    values |= {
        "EXPERT_BASE_URL": orchestrator_url.split(",")[0].strip(),
        "SERVE_MODEL": str(state / "models" / "smollm2-135m"),
        "INDEX_DIR": str(state / "index" / "demo"),
    }
    if benchmark in SAMPLES:
        values["DATASET"] = str(package_file("podium_eval", "data", *SAMPLES[benchmark]))
    return values


def prepare_model(environment: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Make the model unless it is there. It appears whole or not at all.

    Raises:
        NotPrepared: the builder failed; the message holds what it printed.
    """
    if not (Path(environment["SERVE_MODEL"]) / "config.json").is_file():
        say(f"embedded model: building {environment['SERVE_MODEL']}, about half a minute")
    _run([sys.executable, "-m", "podium_vllm", "build-embedded", environment["SERVE_MODEL"]], environment)


def prepare_index(environment: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Make the index of the demo's passages unless INDEX_DIR holds one. An interrupted build is gone on with.

    Raises:
        NotPrepared: the builder failed; the message holds what it printed.
    """
    index = Path(environment["INDEX_DIR"])
    if (index / "eval.index").is_file() and (index / "eval.jsonl").is_file():
        return
    say(f"demo index: building {index}")
    corpus = package_file("podium_eval", "data", "demo", "corpus.jsonl")
    index.parent.mkdir(parents=True, exist_ok=True)
    _run(
        [sys.executable, "-m", "podium_retrieval", "build-index"],
        {**environment, "CORPUS": str(corpus), "INDEX_DIR": str(index)},
    )


def _run(argv: list[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        argv, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    if done.returncode != 0:
        raise NotPrepared(f"{' '.join(argv[1:4])} failed with status {done.returncode}:\n{done.stdout[-4000:]}")
