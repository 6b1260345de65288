"""podium-local run: the whole chain as processes of this machine."""

import argparse
import asyncio
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from dotenv import dotenv_values
from podium_contracts.env_names import doubtful
from pydantic import ValidationError

from podium_local import embedded
from podium_local.chain import Chain
from podium_local.embedded import NotPrepared
from podium_local.gpus import with_gpus
from podium_local.ports import addresses
from podium_local.service import ServiceFailed
from podium_local.settings import LocalSettings

DESCRIPTION = """Start vLLM, retrieval and the sandbox, wait for them, run podium-eval, then podium-analysis, and stop
what was started. Settings come from the environment, then from .env; options that are not listed here go to
`podium-eval run`."""


def main(argv: list[str] | None = None) -> int:
    """Exit status: eval's (0 graded, 1 some errors, 2 bad configuration), 3 a service failed, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="podium-local", description=DESCRIPTION, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="the whole chain", description=DESCRIPTION, allow_abbrev=False)
    prepare = commands.add_parser("prepare", help="make the embedded model and index, and stop", allow_abbrev=False)
    gpus = commands.add_parser(
        "gpus", help="lines for .env: GPUs for vLLM and retrieval, the freest", allow_abbrev=False
    )
    for command in (run, prepare, gpus):
        command.add_argument("--root", type=Path, default=Path.cwd(), help="the clone of Podium (default: here)")
    run.add_argument(
        "--embedded", action="store_true", help="the embedded default: small models on the CPU, our questions"
    )
    run.add_argument(
        "--ports", choices=("set", "auto"), help="auto: free ports; set: SERVE_PORT and the like (LOCAL_PORTS)"
    )
    run.add_argument("--reuse", help="services that run already, by commas: vllm, retrieval, sandbox (LOCAL_REUSE)")
    run.add_argument("--no-live", action="store_true", help="without the live page (LOCAL_LIVE=false)")
    run.add_argument("--runs-dir", help="folder that holds one folder a run (RUNS_DIR)")
    run.add_argument("--run-id", help="the run's name; an existing one is resumed (RUN_ID)")
    arguments, eval_options = parser.parse_known_args(argv)
    if platform.system() != "Linux":
        print(
            f"podium-local: vLLM's CPU build and the sandbox need Linux, not {platform.system()}: run the containers, "
            "docker compose -f docker-compose.yml -f docker-compose.cpu.yml up eval",
            file=sys.stderr,
        )
        return 2
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[podium-local {time.monotonic() - began:6.1f}s] {text}", flush=True)

    try:
        if arguments.command != "run" and eval_options:
            parser.error(f"unknown options: {' '.join(eval_options)}")
        return _run(arguments, eval_options, say)
    except ValidationError as error:
        for problem in error.errors():
            print(f"podium-local: {str(problem['loc'][0]).upper()}: {problem['msg']}", file=sys.stderr)
        return 2
    except (NotPrepared, ValueError) as error:
        print(f"podium-local: {error}", file=sys.stderr)
        return 2
    except ServiceFailed as error:
        print(f"podium-local: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace, eval_options: Sequence[str], say: Callable[[str], None]) -> int:
    root: Path = arguments.root.resolve()
    written = dotenv_values(root / ".env")
    for line in doubtful(written):
        print(f"podium-local: {root / '.env'}: {line}", file=sys.stderr)
    environment = {k: v for k, v in written.items() if v} | dict(os.environ)
    if arguments.command == "gpus":
        auto = {"ORCHESTRATOR_GPU": "auto", "RETRIEVAL_GPU": "auto"}
        chosen = with_gpus(auto, lambda line: print(line, file=sys.stderr))
        print("\n".join(f"{name}={chosen[name]}" for name in auto))
        return 0
    preparing = arguments.command == "prepare"
    if not preparing:
        environment |= {"LOCAL_REUSE": arguments.reuse} if arguments.reuse is not None else {}
        environment |= {"RUN_ID": arguments.run_id} if arguments.run_id is not None else {}
        environment |= {"RUNS_DIR": arguments.runs_dir} if arguments.runs_dir is not None else {}
        environment |= {"LOCAL_PORTS": arguments.ports} if arguments.ports is not None else {}
        environment |= {"LOCAL_LIVE": "false"} if arguments.no_live else {}
    settings = LocalSettings.model_validate(_fields(environment))
    environment |= addresses(environment, auto=settings.local_ports == "auto", reuse=settings.reuse)
    settings = LocalSettings.model_validate(_fields(environment))
    if preparing or arguments.embedded:
        state = (root / settings.local_state_dir).resolve()
        defaults = embedded.defaults(root, state, settings.orchestrator_url, environment.get("BENCHMARK") or "hle")
        environment = defaults | {k: v for k, v in environment.items() if v}
        if "vllm" not in settings.reuse:
            embedded.prepare_model(environment, say)
        if "retrieval" not in settings.reuse:
            embedded.prepare_index(environment, say)
        settings = LocalSettings.model_validate(_fields(environment))
    if preparing:
        return 0
    environment |= with_gpus(environment, say)
    settings = LocalSettings.model_validate(_fields(environment))

    run_id = settings.run_id or datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    runs_dir = settings.runs_dir.resolve()
    environment |= {"RUN_ID": run_id, "RUNS_DIR": str(runs_dir)}
    folder = runs_dir / run_id
    say(f"run {run_id} in {folder}")
    status = asyncio.run(Chain(settings, environment, folder, eval_options, say).run())
    report = folder / "analysis" / "report.html"
    if report.is_file():
        say(f"report: {report}")
    say(f"ended with status {status}")
    return status


def _fields(environment: dict[str, str]) -> dict[str, str]:
    """The settings' own variables, by field name; an empty one is as if it were not set."""
    return {k.lower(): v for k, v in environment.items() if v and k.lower() in LocalSettings.model_fields}


if __name__ == "__main__":
    sys.exit(main())
