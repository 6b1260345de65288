"""Errors with a name: a failure of something outside this process, a configuration that cannot work."""

from collections.abc import Iterable

from podium_contracts.names import PERMANENT, ErrorType


class Failure(Exception):
    """A named failure of something outside this process.

    retry_after_s: the server's Retry-After. duration_ms: the last attempt. attempts, limiter_ms, retry_ms, provider and
    model are set by whoever made the attempts, so that no second of a failed call is missing from the log.
    """

    def __init__(
        self,
        error_type: ErrorType,
        message: str,
        *,
        retry_after_s: float | None = None,
        duration_ms: float = 0.0,
        provider: str | None = None,
    ) -> None:
        super().__init__(message)
        self.error_type: ErrorType = error_type
        self.message = message
        self.retry_after_s = retry_after_s
        self.attempts = 1
        self.duration_ms = duration_ms
        self.limiter_ms = 0.0
        self.admission_ms: float | None = None
        self.retry_ms = 0.0
        self.provider = provider
        self.model: str | None = None

    @property
    def permanent(self) -> bool:
        """Asking again within this run cannot help."""
        return self.error_type in PERMANENT


class Unavailable(Failure):
    """A service stayed down for longer than its limit: the task ends as an error, which a resume retries."""


class ConfigError(ValueError):
    """problems: one line each, naming the setting or file and what to do."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))
