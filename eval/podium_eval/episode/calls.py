"""Every model call of a task passes here: it becomes an event and counts to the task's cost."""

from typing import Any

from podium_contracts.events import LlmCall
from podium_contracts.names import Role

from podium_eval.episode.task import TaskState, event_ids
from podium_eval.errors import Failure
from podium_eval.log.sink import EventSink
from podium_eval.models.chat import Chat, ChatRequest, ChatResult, call_fields, failed_fields


class Ledger:
    """The account of one task in one segment."""

    def __init__(self, sink: EventSink, run_id: str, segment: int, state: TaskState) -> None:
        self.sink = sink
        self._run_id = run_id
        self._segment = segment
        self._state = state

    @property
    def ids(self) -> dict[str, Any]:
        """Event fields of the turn being taken."""
        return event_ids(self._run_id, self._segment, self._state)

    async def ask(
        self,
        chat: Chat,
        request: ChatRequest,
        *,
        role: Role,
        tool: str | None = None,
        alias: str | None = None,
    ) -> ChatResult:
        """Ask, and write an llm_call of what came of it.

        Raises:
            Failure: as the chat raised it.
        """
        try:
            result = await chat.complete(request)
        except Failure as failure:
            self.sink.emit(LlmCall(**self.ids, **failed_fields(failure, chat, role=role, tool=tool, alias=alias)))
            raise
        self.sink.emit(LlmCall(**self.ids, **call_fields(result, role=role, tool=tool, alias=alias)))
        self._state.spend(result.cost_usd)
        return result
