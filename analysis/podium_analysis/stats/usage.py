"""Tokens in and out, and errors by type. Calls whose tokens the server did not report are counted apart."""

from typing import Any

from podium_analysis.load.run_data import RunData

_TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")


def token_statistics(run: RunData) -> dict[str, Any]:
    """Sums by role, and by role, provider and model; of each kind of token n_unknown calls did not report it."""
    return {"by_role": _tokens(run, ("role",)), "by_model": _tokens(run, ("role", "provider", "model"))}


def _tokens(run: RunData, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    names = ", ".join(keys)
    sums = ", ".join(f"sum(sum_{name})::BIGINT, sum(n - n_{name})::BIGINT" for name in _TOKENS)
    found: list[dict[str, Any]] = []
    for row in run.rows(
        f"SELECT {names}, sum(n)::BIGINT, coalesce(sum(n) FILTER (error_type IS NOT NULL), 0)::BIGINT, {sums} "
        "FROM cells WHERE type = 'llm_call' "
        f"GROUP BY {names} ORDER BY {names}"
    ):
        k = len(keys)
        entry: dict[str, Any] = dict(zip(keys, row[:k], strict=True))
        entry |= {"n_calls": row[k], "n_failed": row[k + 1]}
        for at, name in enumerate(_TOKENS):
            entry[name] = row[k + 2 + 2 * at]
            entry[f"n_unknown_{name}"] = row[k + 3 + 2 * at]
        found.append(entry)
    return found


def error_statistics(run: RunData) -> dict[str, Any]:
    """Failures by type: of tasks as they ended, model calls, tools, judgements, the web; programs by how they ended."""
    return {
        "tasks": _counts(run, "(SELECT error_type, 1 AS n FROM final)", "error_type IS NOT NULL", "error_type"),
        "calls": _counts(
            run, "cells", "type = 'llm_call' AND error_type IS NOT NULL", "role", "provider", "model", "error_type"
        ),
        "tools": _counts(
            run, "cells", "type = 'tool_call' AND status = 'failed'", "tool", "error_type"
        ),
        "judgements": _counts(run, "cells", "type = 'judge' AND error_type IS NOT NULL", "error_type"),
        "web": _counts(
            run, "(SELECT web_error, 1 AS n FROM events WHERE type = 'tool_call')", "web_error IS NOT NULL", "web_error"
        ),
        "programs": _counts(run, "cells", "type = 'tool_call' AND exec_status IS NOT NULL", "exec_status"),
    }  # fmt: skip


def _counts(run: RunData, table: str, condition: str, *keys: str) -> list[dict[str, Any]]:
    """table: its rows stand for n things each."""
    names = ", ".join(keys)
    rows = run.rows(
        f"SELECT {names}, sum(n)::BIGINT AS total FROM {table} WHERE {condition} GROUP BY {names} "
        f"ORDER BY total DESC, {names}"
    )
    return [dict(zip((*keys, "n"), row, strict=True)) for row in rows]
