"""Tokens in and out, and errors by type. Calls whose tokens the server did not report are counted apart."""

from typing import TypeVar

import msgspec

from podium_analysis.load.run_data import RunData
from podium_analysis.section import Count, Section

_TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")


class RoleTokens(Section, frozen=True, kw_only=True):
    """Sums over a role's calls; of each kind of token n_unknown calls did not report it. None: no call reported it."""

    role: str
    n_calls: Count
    n_failed: Count
    prompt_tokens: Count | None
    n_unknown_prompt_tokens: Count
    cached_tokens: Count | None
    n_unknown_cached_tokens: Count
    completion_tokens: Count | None
    n_unknown_completion_tokens: Count
    reasoning_tokens: Count | None
    n_unknown_reasoning_tokens: Count


class ModelTokens(RoleTokens, frozen=True, kw_only=True):
    """The same of one model in one role."""

    provider: str | None
    model: str | None


class Tokens(Section, frozen=True):
    """Tokens in and out."""

    by_role: list[RoleTokens]
    by_model: list[ModelTokens]


class ErrorCount(Section, frozen=True):
    """Failures of one type."""

    error_type: str
    n: Count


class CallErrors(Section, frozen=True):
    """Failed model calls of one type."""

    role: str
    provider: str | None
    model: str | None
    error_type: str
    n: Count


class ToolErrors(Section, frozen=True):
    """Failed calls of a tool."""

    tool: str
    error_type: str | None
    n: Count


class WebErrors(Section, frozen=True):
    """Searches for which the web gave nothing or only snippets."""

    web_error: str
    n: Count


class ProgramEnds(Section, frozen=True):
    """Programs by how they ended, `ok` included."""

    exec_status: str
    n: Count


class Errors(Section, frozen=True):
    """Failures by type: of tasks as they ended, model calls, tools, judgements, the web; programs by how they ended."""

    tasks: list[ErrorCount]
    calls: list[CallErrors]
    tools: list[ToolErrors]
    judgements: list[ErrorCount]
    web: list[WebErrors]
    programs: list[ProgramEnds]


_Tokens = TypeVar("_Tokens", bound=RoleTokens)
_Counted = TypeVar("_Counted", bound=Section)


def token_statistics(run: RunData) -> Tokens:
    """Sums by role, and by role, provider and model."""
    return Tokens(_tokens(run, RoleTokens, ("role",)), _tokens(run, ModelTokens, ("role", "provider", "model")))


def _tokens(run: RunData, kind: type[_Tokens], keys: tuple[str, ...]) -> list[_Tokens]:
    names = ", ".join(keys)
    sums = ", ".join(f"sum(sum_{name})::BIGINT, sum(n - n_{name})::BIGINT" for name in _TOKENS)
    found: list[_Tokens] = []
    for row in run.rows(
        f"SELECT {names}, sum(n)::BIGINT, coalesce(sum(n) FILTER (error_type IS NOT NULL), 0)::BIGINT, {sums} "
        "FROM cells WHERE type = 'llm_call' "
        f"GROUP BY {names} ORDER BY {names}"
    ):
        k = len(keys)
        entry = dict(zip(keys, row[:k], strict=True))
        entry |= {"n_calls": row[k], "n_failed": row[k + 1]}
        for at, name in enumerate(_TOKENS):
            entry[name] = row[k + 2 + 2 * at]
            entry[f"n_unknown_{name}"] = row[k + 3 + 2 * at]
        found.append(kind(**entry))
    return found


def error_statistics(run: RunData) -> Errors:
    """Failures by type, the most frequent first."""
    web = "(SELECT web_error, 1 AS n FROM events WHERE type = 'tool_call')"
    return Errors(
        tasks=_counts(run, ErrorCount, "(SELECT error_type, 1 AS n FROM final)", "error_type IS NOT NULL"),
        calls=_counts(run, CallErrors, "cells", "type = 'llm_call' AND error_type IS NOT NULL"),
        tools=_counts(run, ToolErrors, "cells", "type = 'tool_call' AND status = 'failed'"),
        judgements=_counts(run, ErrorCount, "cells", "type = 'judge' AND error_type IS NOT NULL"),
        web=_counts(run, WebErrors, web, "web_error IS NOT NULL"),
        programs=_counts(run, ProgramEnds, "cells", "type = 'tool_call' AND exec_status IS NOT NULL"),
    )


def _counts(run: RunData, kind: type[_Counted], table: str, condition: str) -> list[_Counted]:
    """kind: its fields before n are the columns to count by. table: its rows stand for n things each."""
    names = ", ".join(field.name for field in msgspec.structs.fields(kind) if field.name != "n")
    rows = run.rows(
        f"SELECT {names}, sum(n)::BIGINT AS total FROM {table} WHERE {condition} GROUP BY {names} "
        f"ORDER BY total DESC, {names}"
    )
    return [kind(*row) for row in rows]
