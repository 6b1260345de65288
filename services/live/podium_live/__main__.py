"""`podium-live serve`: read the settings, serve the page until told to stop."""

import argparse
import logging
import sys
from pathlib import Path
from types import FrameType

import uvicorn
from pydantic import ValidationError

from podium_live.api.app import create_app
from podium_live.api.rooms import Rooms
from podium_live.settings import LiveSettings

BAD_SETTINGS = 2
GRACE_S = 3


class _Server(uvicorn.Server):
    """Ends the streams at the signal to stop: they would otherwise be waited for."""

    def __init__(self, config: uvicorn.Config, rooms: Rooms) -> None:
        super().__init__(config)
        self._rooms = rooms

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._rooms.close()


def main(argv: list[str] | None = None) -> int:
    """0 stopped in good order; 2 a setting is wrong; 1 the port is taken."""
    parser = argparse.ArgumentParser(
        prog="podium-live",
        description="A page that shows runs while they run. Settings: RUNS_DIR and LIVE_* variables.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve the page", allow_abbrev=False)
    serve.add_argument("--runs-dir", type=Path, help="folder of the run folders (RUNS_DIR)")
    serve.add_argument("--host", dest="live_host", help="address (LIVE_HOST)")
    serve.add_argument("--port", dest="live_port", type=int, help="port (LIVE_PORT)")
    given = {name: value for name, value in vars(parser.parse_args(argv)).items() if value is not None}
    given.pop("command")
    try:
        settings = LiveSettings(**given)
    except ValidationError as error:
        for problem in error.errors():
            name = f"{str(problem['loc'][0]).upper()}: " if problem["loc"] else ""
            print(f"podium-live: {name}{problem['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        return BAD_SETTINGS
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    app = create_app(settings)
    config = uvicorn.Config(
        app, host=settings.live_host, port=settings.live_port, log_level="warning", access_log=False,
        timeout_graceful_shutdown=GRACE_S, server_header=False, ws="none",
    )  # fmt: skip
    print(f"podium-live: runs of {settings.runs_dir} on http://{settings.live_host}:{settings.live_port}", flush=True)
    _Server(config, app.state.parts.rooms).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
