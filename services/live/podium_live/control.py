"""Asks a run that is on to do something, as the page's user."""

from pathlib import Path
from typing import Annotated, Any

import orjson
from podium_contracts.control import NoReply, ask_line
from podium_contracts.names import ControlAct
from pydantic import BaseModel, ConfigDict, Field


class Act(BaseModel):
    """What the page may ask for; which act needs what is the run's own matter, which refuses by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    act: ControlAct
    n: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    provider: Annotated[str, Field(max_length=200)] | None = None
    task: Annotated[str, Field(max_length=1000)] | None = None


class Refused(ValueError):
    """The run is not on, or says no."""


def perform(folder: Path, act: Act, timeout_s: float) -> str:
    """What the run says that it did.

    Raises:
        Refused: see there.
    """
    request = {**act.model_dump(exclude_none=True), "source": "page"}
    try:
        reply: Any = orjson.loads(ask_line(folder, orjson.dumps(request), timeout_s))
    except NoReply as error:
        raise Refused(str(error)) from error
    if reply.get("refused") is not None:
        raise Refused(str(reply["refused"]))
    return str(reply.get("done") or "done")
