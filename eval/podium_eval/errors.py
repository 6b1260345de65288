"""Errors with a name: a failure of something outside this process, a configuration that cannot work."""

from collections.abc import Iterable

from podium_contracts.names import PERMANENT, ErrorType


class Failure(Exception):
    """A named failure of something outside this process.

    error_type: its name. permanent: asking again cannot help. retry_after_s: the server's own wish.
    wait_ms/attempts: what was spent before giving up, so that no second of a failed call goes missing.
    """

    def __init__(
        self,
        error_type: ErrorType,
        message: str,
        *,
        retry_after_s: float | None = None,
        attempts: int = 1,
        duration_ms: float = 0.0,
        limiter_ms: float = 0.0,
        retry_ms: float = 0.0,
        provider: str | None = None,
        model: str | None = None,
    ) -> None:
        super().__init__(message)
        self.error_type: ErrorType = error_type
        self.message = message
        self.retry_after_s = retry_after_s
        self.attempts = attempts
        self.duration_ms = duration_ms
        self.limiter_ms = limiter_ms
        self.admission_ms: float | None = None
        self.retry_ms = retry_ms
        self.provider = provider
        self.model = model

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
