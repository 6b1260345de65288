"""podium-vllm: serve, health, build-embedded."""

import argparse
import os
import sys
from pathlib import Path

from podium_vllm.embedded import EmbeddedModelError, build
from podium_vllm.health import Unhealthy, check
from podium_vllm.serve import serve
from podium_vllm.settings import ServeSettings, SettingError


def main(argv: list[str] | None = None) -> int:
    """Exit status 0 fine, 1 unhealthy or not built, 2 bad settings."""
    parser = argparse.ArgumentParser(prog="podium-vllm", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="start vLLM from the SERVE_ settings")
    commands.add_parser("health", help="exit 0 when vLLM serves its model")
    embedded = commands.add_parser("build-embedded", help="build the embedded default model once")
    embedded.add_argument("folder", type=Path)
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "build-embedded":
            built = build(arguments.folder)
            print(f"{arguments.folder}: {'built' if built else 'already there'}")
            return 0
        settings = ServeSettings.from_environment({**_dot_env(), **os.environ})
        if arguments.command == "serve":
            serve(settings)
        host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host
        check(f"http://{host}:{settings.port}", settings.name, settings.health_timeout_s)
    except SettingError as error:
        print(f"podium-vllm: {error}", file=sys.stderr)
        return 2
    except (Unhealthy, EmbeddedModelError) as error:
        print(f"podium-vllm: {error}", file=sys.stderr)
        return 1
    return 0


def _dot_env() -> dict[str, str]:
    """What ./.env sets; the environment wins over it."""
    if not Path(".env").is_file():
        return {}
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(".env").items() if value is not None}


if __name__ == "__main__":
    sys.exit(main())
