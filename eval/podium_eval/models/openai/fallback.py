"""What a model is asked for until its server refuses it: streaming for its timing, a schema for its form."""

import logging
import re
from dataclasses import replace
from typing import Final, Literal

from podium_eval.errors import Failure
from podium_eval.models.chat import ChatRequest
from podium_eval.models.providers import Quirks

Timing = Literal["server", "client", "auto"]
_log = logging.getLogger(__name__)
_SCHEMA: Final = re.compile(r"response_format|json_schema|structured.?output|guided", re.IGNORECASE)
_OF_STREAMING: Final = frozenset({"bad_request", "bad_response", "server_error"})


class Fallback:
    """One model's quirks and whether its calls are streamed, as its server has shown them to be.

    timing: `client` streams from the start, `auto` once an answer has come without the server's own timings.
    """

    def __init__(self, name: str, quirks: Quirks, timing: Timing) -> None:
        self.quirks = quirks
        self.streams = quirks.stream == "always" or (timing == "client" and quirks.stream != "never")
        self._may_begin = timing == "auto" and quirks.stream != "never"
        self._name = name

    def timed(self, by_server: bool) -> None:
        """An answer came, with or without the server's own timings."""
        if not by_server and self._may_begin:
            self.streams = True

    def without_schema(self, failure: Failure, request: ChatRequest) -> bool:
        """Whether the call is worth repeating without a schema, which is then left out for good."""
        form = request.form
        with_schema = form is not None and form.json_schema is not None and self.quirks.json_schema
        if not with_schema or failure.error_type != "bad_request" or not _SCHEMA.search(failure.message):
            return False
        self.quirks = replace(self.quirks, json_schema=False)
        _log.warning(
            "%s refuses a JSON schema: it is asked in words alone from now on (%s)", self._name, failure.message
        )
        return True

    def without_streaming(self, failure: Failure) -> bool:
        """Whether the failure may be one of streaming alone, so that a whole answer is worth asking for."""
        return self.streams and self.quirks.stream != "always" and failure.error_type in _OF_STREAMING

    def whole_answers(self, failure: Failure) -> None:
        """A whole answer came where streaming failed: nothing is streamed from now on."""
        self.streams = self._may_begin = False
        _log.warning("%s fails when streamed: its calls are timed whole from now on (%s)", self._name, failure.message)
