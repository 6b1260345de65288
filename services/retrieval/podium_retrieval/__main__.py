"""The console command: serve, build-index, fetch-index, screen and query. Flags are settings by another name."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import ValidationError

from podium_retrieval.errors import QueryFailed, StartError
from podium_retrieval.logs import set_up_logging
from podium_retrieval.settings import Settings

_LOG = logging.getLogger("podium_retrieval")
_SECRETS: Final = frozenset(
    name.upper() for name, its in Settings.model_fields.items() if "Secret" in str(its.annotation)
)
"""Settings whose values are never shown."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 screen found leaks or query got no answer, 2 could not start (one line is the reason)."""
    arguments = vars(_parser().parse_args(argv))
    command = arguments.pop("command")
    if command == "query":
        return _query(**arguments)
    restart: bool = arguments.pop("restart", False)
    skip_bad: bool = arguments.pop("skip_bad", False)
    source: str = arguments.pop("source", "")
    dataset: str = arguments.pop("dataset", "")
    try:
        settings = Settings(**{name: value for name, value in arguments.items() if value is not None})
        set_up_logging(settings.log_level)
        without_missing_hf_transfer()
        _configure_threads()
        if command == "serve":
            _serve(settings)
        elif command == "fetch-index":
            from podium_retrieval.index.fetch import Hub, fetch_index, largest_gpu

            on_cpu = settings.retrieval_index_device == "cpu"
            hub = Hub.from_environment(os.environ)
            fetch_index(source, settings.index_dir, hub, (lambda: None) if on_cpu else largest_gpu)
            print(f"{settings.index_dir} holds eval.index and eval.jsonl of {source}")
        elif command == "screen":
            return _screen(settings, Path(dataset))
        else:
            from podium_retrieval.index.build import build_index

            build_index(settings, restart=restart, skip_bad=skip_bad)
    except ValidationError as error:
        print(f"podium-retrieval: {_first(error)}", file=sys.stderr)
        return 2
    except StartError as error:
        print(f"podium-retrieval: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _serve(settings: Settings) -> None:
    from podium_retrieval.api.server import serve

    def announce(line: dict[str, Any]) -> None:
        print(orjson.dumps(line).decode(), flush=True)

    serve(settings, announce)


def _query(texts: list[str], as_json: bool, eid: str | None, **options: Any) -> int:
    from podium_retrieval.api.query import QuerySettings, query

    try:
        settings = QuerySettings(**{name: value for name, value in options.items() if value is not None})
        found = query(settings, tuple(texts), eid)
    except ValidationError as error:
        print(f"podium-retrieval: {_first(error)}", file=sys.stderr)
        return 2
    except QueryFailed as error:
        print(f"podium-retrieval query: {error}", file=sys.stderr)
        return 1
    print(found.json().decode() if as_json else found.text())
    return 0


def _screen(settings: Settings, dataset: Path) -> int:
    """A JSON line for each finding on standard output, their number on standard error; 1 where there is one."""
    from podium_retrieval.screen.corpus import screen_corpus
    from podium_retrieval.screen.mirrors import load_mirrors

    corpus = settings.corpus or (settings.index_dir and settings.index_dir / "eval.jsonl")
    if not corpus:
        raise StartError("nothing to screen: set CORPUS (--corpus) or INDEX_DIR (--index-dir)")
    mirrors = load_mirrors(settings.retrieval_screen_mirrors)
    n = 0
    for finding in screen_corpus(corpus, dataset, mirrors, settings.retrieval_screen_share):
        print(orjson.dumps(finding).decode(), flush=True)
        n += 1
    print(f"podium-retrieval screen: {n} finding(s) in {corpus}", file=sys.stderr)
    return int(n > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="podium-retrieval",
        description="Dense retrieval over FAISS. Every flag is also an environment variable; see .env.example.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="answer POST /retrieve")
    serve.add_argument("--host", dest="retrieval_host", help="RETRIEVAL_HOST")
    serve.add_argument("--port", dest="retrieval_port", type=int, help="RETRIEVAL_PORT")
    serve.add_argument("--mode", dest="retrieval_mode", choices=("batch", "lock"), help="RETRIEVAL_MODE")
    build = commands.add_parser(
        "build-index",
        help="make eval.index and eval.jsonl from a jsonl corpus; goes on where it was stopped",
    )
    build.add_argument("--corpus", help="CORPUS: one JSON document a line, text in 'contents' or 'content'")
    build.add_argument("--type", dest="retrieval_index_type", choices=("flat", "ivf"), help="RETRIEVAL_INDEX_TYPE")
    build.add_argument(
        "--storage", dest="retrieval_index_storage", choices=("float32", "float16"), help="RETRIEVAL_INDEX_STORAGE"
    )
    build.add_argument("--cells", dest="retrieval_index_cells", type=int, help="RETRIEVAL_INDEX_CELLS")
    build.add_argument("--batch-tokens", dest="retrieval_build_tokens", type=int, help="RETRIEVAL_BUILD_TOKENS")
    build.add_argument(
        "--document-tokens", dest="retrieval_document_tokens", type=int, help="RETRIEVAL_DOCUMENT_TOKENS"
    )
    build.add_argument(
        "--skip-bad", action="store_true", help="leave bad lines of the corpus out, with a count and the first ten"
    )
    build.add_argument("--restart", action="store_true", help="throw away what an interrupted build left")
    fetch = commands.add_parser("fetch-index", help="a ready index from the hub; goes on where it was stopped")
    fetch.add_argument("source", metavar="hub:OWNER/NAME", help="repository with eval.index and eval.jsonl")
    fetch.add_argument("--index-dir", dest="index_dir", help="INDEX_DIR")
    screen = commands.add_parser("screen", help="list documents of the corpus that give a dataset's questions away")
    screen.add_argument("--dataset", required=True, help="jsonl with id, question and answer")
    screen.add_argument("--corpus", help="CORPUS; else eval.jsonl in INDEX_DIR")
    screen.add_argument("--mirrors", dest="retrieval_screen_mirrors", help="RETRIEVAL_SCREEN_MIRRORS")
    ask = commands.add_parser("query", help="ask a running service: documents with scores, sources and times")
    ask.add_argument("texts", metavar="TEXT", nargs="+", help="what to look for; several are one request")
    ask.add_argument("--url", dest="retrieval_url", help="RETRIEVAL_URL; else RETRIEVAL_PORT of this machine")
    ask.add_argument("--topk", dest="retrieval_topk", type=int, help="RETRIEVAL_TOPK: documents a text")
    ask.add_argument("--timeout", dest="retrieval_timeout_s", type=float, help="RETRIEVAL_TIMEOUT_S: longest wait")
    ask.add_argument("--eid", help="the question's index, where the service has EXAMPLE_IDS_FILE")
    ask.add_argument("--json", dest="as_json", action="store_true", help="one JSON object")
    for one in (serve, build, screen):
        one.add_argument("--index-dir", dest="index_dir", help="INDEX_DIR")
        one.add_argument("--model", dest="embedding_model", help="EMBEDDING_MODEL")
    return parser


def _configure_threads() -> None:
    """Before torch and FAISS are imported, for their thread pools read the environment then.

    Two OpenMP pools that spin while they wait take the cores from each other and from every other process.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one text at a time: a pool would only cost


def without_missing_hf_transfer() -> None:
    """The hub's library fails at its first download when told to use a package that is not there."""
    wanted = os.environ.get("HF_HUB_ENABLE_HF_TRANSFER", "").strip().lower() in {"1", "true", "yes", "on"}
    if wanted and find_spec("hf_transfer") is None:
        os.environ["HF_HUB_ENABLE_HF_TRANSFER"] = "0"
        _LOG.warning("HF_HUB_ENABLE_HF_TRANSFER is set but hf_transfer is not installed: turned off")


def _first(error: ValidationError) -> str:
    detail = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in detail["loc"]).upper()
    message = detail["msg"].removeprefix("Value error, ")
    if name in _SECRETS:
        return f"{name} {message}"
    return f"{name}={detail.get('input')!r}: {message}" if name else message


if __name__ == "__main__":
    sys.exit(main())
