"""The Sandbox of a run: programs over HTTP. A program's failure is data; only the sandbox's own is an error."""

from dataclasses import dataclass
from typing import Any, Protocol, cast

import aiohttp
from podium_contracts.text.surrogates import written_out

from podium_eval.clock import SYSTEM_CLOCK, Clock
from podium_eval.errors import Failure
from podium_eval.settings.run import RunSettings
from podium_eval.transport.json_service import Gate, HttpService, Service, ServiceLimits


@dataclass(frozen=True, slots=True)
class Execution:
    """The result of a program. status: ok, error (non-zero exit), timeout, memory, output_limit, killed."""

    status: str
    exit_code: int | None
    stdout: str
    stderr: str
    duration_ms: float
    truncated: bool = False


class Sandbox(Protocol):
    async def run(self, code: str, timeout_s: float) -> Execution:
        """Raises Failure("sandbox_error" | "timeout" | "connection", …) when the sandbox, not the program, failed."""
        ...


class SandboxClient:
    """POST /run."""

    def __init__(
        self, session: aiohttp.ClientSession, settings: RunSettings, gate: Gate, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._wait_s = settings.sandbox_wait_s
        self._service = HttpService(
            session,
            Service("sandbox", f"{settings.sandbox_url.rstrip('/')}/run", "sandbox_error"),
            gate,
            ServiceLimits(settings.sandbox_attempts, settings.connect_timeout_s),
            clock,
        )

    async def run(self, code: str, timeout_s: float) -> Execution:
        """See Sandbox."""
        # In a string literal `\\ud800` is the same surrogate.
        body, _ = await self._service.post(
            {"code": written_out(code), "timeout_s": timeout_s}, timeout_s + self._wait_s
        )
        try:
            fields = cast("dict[str, Any]", body)
            return Execution(
                status=str(fields["status"]),
                exit_code=fields["exit_code"],
                stdout=str(fields["stdout"]),
                stderr=str(fields["stderr"]),
                duration_ms=float(fields["duration_ms"]),
                truncated=bool(fields.get("truncated", False)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Failure("sandbox_error", f"the sandbox's answer lacks {error}", provider="sandbox") from error
