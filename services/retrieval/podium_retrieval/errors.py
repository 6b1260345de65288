"""The errors of this service: it cannot start, it refuses one request, or a search from the shell failed."""

from typing import Final, Literal

RefusalType = Literal[
    "bad_request",
    "query_refused",
    "body_too_large",
    "queue_full",
    "deadline",
    "batch_failed",
    "document_failed",
    "shutting_down",
    "owner_dead",
]

STATUS: Final[dict[RefusalType, int]] = {
    "bad_request": 422,
    "query_refused": 422,
    "body_too_large": 413,
    "queue_full": 429,
    "deadline": 504,
    "batch_failed": 500,
    "document_failed": 500,
    "shutting_down": 503,
    "owner_dead": 503,
}


class StartError(Exception):
    """The service cannot start. The message is one line: what is wrong, where, and what to do."""


class QueryFailed(Exception):
    """A search from the shell got no answer. The message is one line: whose, why, and what to do."""


class Refusal(Exception):
    """A request is refused; `type` is the reason and determines the HTTP status."""

    def __init__(self, type: RefusalType, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.type: RefusalType = type
        self.message = message
        self.retry_after_s = retry_after_s

    @property
    def status(self) -> int:
        """HTTP status of this refusal."""
        return STATUS[self.type]


class ClientLeft(Exception):
    """The client closed its connection: the answer has no reader."""
