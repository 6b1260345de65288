"""What is known about a problem, and how much of it fits a prompt.

Knowledge only grows. A View shows it within token limits, cut from the left: documents first, then programs and
attempts, each at its own limit. A full view is cut to a share of its limit, so that the turns after a cut share their
prefix again (and the server its cache); between cuts a prompt's knowledge is the last one's with new text behind it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from podium_contracts.records import Turn

from podium_eval.models.chat import TokenCounter
from podium_eval.tools.search import identity

Kind = Literal["document", "program", "attempt"]

NOTHING_YET: Final = "Nothing yet."
_JOIN: Final = "\n\n"
_ARGUMENT_CHARS: Final = 500
_OUTPUT_CHARS: Final = 100_000
"""Beyond any context limit; counting the tokens of megabytes would hold the loop for nothing."""


@dataclass(frozen=True, slots=True)
class Entry:
    kind: Kind
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Tokens: attempts alone, programs and attempts, and everything."""

    total: int
    code: int
    attempts: int


class View:
    """The knowledge as one reader sees it."""

    def __init__(self, limits: Limits, counter: TokenCounter, share: float) -> None:
        self._limits = limits
        self._counter = counter
        self._share = share
        self._entries: list[Entry] = []
        self.cut_tokens = 0

    def add(self, entry: Entry) -> None:
        """Append, and cut what no longer fits."""
        self._entries.append(entry)
        self._cut(("attempt",), self._limits.attempts)
        self._cut(("program", "attempt"), self._limits.code)
        self._cut(("document",), self._limits.total, everything=True)
        self._cut(("program", "attempt"), self._limits.total, everything=True)

    def text(self) -> str:
        """All entries that are left, oldest first."""
        return _JOIN.join(entry.text for entry in self._entries) or NOTHING_YET

    @property
    def tokens(self) -> int:
        return sum(entry.tokens for entry in self._entries)

    def _cut(self, kinds: Sequence[Kind], limit: int, *, everything: bool = False) -> None:
        """Bring `kinds` (with everything: the whole) under `limit` by taking the oldest of `kinds` away."""
        size = sum(e.tokens for e in self._entries if everything or e.kind in kinds)
        if size <= limit:
            return
        over = size - int(limit * self._share)
        kept: list[Entry] = []
        for entry in self._entries:
            if over <= 0 or entry.kind not in kinds:
                kept.append(entry)
                continue
            if entry.tokens > over:
                text, cut = self._counter.keep_end(entry.text, entry.tokens - over)
                if text:
                    kept.append(Entry(entry.kind, text, entry.tokens - cut))
                over -= cut
                self.cut_tokens += cut
            else:
                over -= entry.tokens
                self.cut_tokens += entry.tokens
        self._entries = kept


class Knowledge:
    """Everything learnt in one episode, made from its turns alone: a resumed episode sees what the first one saw."""

    def __init__(self, counter: TokenCounter, share: float) -> None:
        self._counter = counter
        self._share = share
        self._entries: list[Entry] = []
        self._views: dict[Limits, View] = {}
        self._documents: set[str] = set()
        self._programs = 0

    def view(self, limits: Limits) -> View:
        """The view of these limits; made once, then kept up to date."""
        view = self._views.get(limits)
        if view is None:
            view = self._views[limits] = View(limits, self._counter, self._share)
            for entry in self._entries:
                view.add(entry)
        return view

    def knows(self, document: str) -> bool:
        """Whether a document with this identity is known already."""
        return document in self._documents

    def learn(self, turn: Turn) -> None:
        """Take in what a turn brought."""
        if turn.status == "invalid":
            self._add("attempt", f"## Turn {turn.step}\nNo tool ran: {turn.error_message}")
        elif turn.status == "failed":
            self._add("attempt", f"## Turn {turn.step}\n{_called(turn)} failed: {_short(turn)}")
        for document in turn.documents:
            self._documents.add(identity(document.get("id", ""), document.get("contents", "")))
            title = f": {document['title']}" if document.get("title") else ""
            self._add("document", f"## Document {len(self._documents)}{title}\n{document.get('contents', '')}")
        if turn.result is not None:
            self._add("document", f"## Result of {_called(turn)}, turn {turn.step}\n{turn.result}")
        if turn.code is not None and turn.exec_status is not None:
            self._programs += 1
            self._add("program", _program(self._programs, turn))

    def _add(self, kind: Kind, text: str) -> None:
        entry = Entry(kind, text, self._counter.count(text))
        self._entries.append(entry)
        for view in self._views.values():
            view.add(entry)


def _called(turn: Turn) -> str:
    """The tool with its expert, or with its arguments where it needs none."""
    if turn.alias is not None:
        return f"{turn.tool} with {turn.alias}"
    given = json.dumps(turn.arguments, ensure_ascii=False).encode("utf-8", "replace").decode()
    return f"{turn.tool} {given if len(given) <= _ARGUMENT_CHARS else given[:_ARGUMENT_CHARS] + '…'}"


def _short(turn: Turn) -> str:
    message = turn.error_message or turn.error_type or "no reason given"
    return message if len(message) <= 300 else f"{message[:300]}…"


def _program(number: int, turn: Turn) -> str:
    outcome = {"ok": "", "error": f", exit status {turn.exit_code}", "timeout": ", stopped at its time limit"}
    ended = outcome.get(turn.exec_status or "", f", stopped: {turn.exec_status}")
    parts = [
        f"## Program {number}\n```python\n{turn.code}\n```",
        f"Output{ended}:\n{(turn.stdout or '(none)')[-_OUTPUT_CHARS:]}",
    ]
    if turn.stderr:
        parts.append(f"Errors:\n{turn.stderr[-_OUTPUT_CHARS:]}")
    return "\n".join(parts)
