"""Tools that a run had beside the built-in ones: known from its log alone, each with a metric and parts of its own."""

from typing import Final

from podium_contracts.names import TOOLS

from podium_analysis.load.run_data import RunData
from podium_analysis.metrics.metric import Metric
from podium_analysis.metrics.sources import added_calls

MOST: Final = 64
"""Tools that are told apart; a log could name any number."""
_BUILT_IN: Final = ", ".join(f"'{tool}'" for tool in TOOLS)
NAMED: Final = "regexp_full_match({}, '[A-Za-z0-9_-]{{1,64}}')"
"""SQL: whether a name is one that a tool can have, which needs no quoting anywhere."""


def added_tools(run: RunData) -> list[str]:
    """Their names, sorted: every tool that was called and is not built in."""
    rows = run.rows(
        f"SELECT DISTINCT tool FROM cells WHERE type = 'tool_call' AND status <> 'invalid' "
        f"AND tool NOT IN ({_BUILT_IN}) AND {NAMED.format('tool')} ORDER BY tool LIMIT {MOST}"
    )
    return [str(row[0]) for row in rows]


def added_metrics(run: RunData) -> list[Metric]:
    """The wall time of each, named with a hyphen, as no other metric is: a tool may have any name."""
    return [
        Metric(f"tool-{tool}_ms", tool, "ms", added_calls(tool), "duration_ms", f"wall time of {tool}")
        for tool in added_tools(run)
    ]


_FIELDS: Final = {"expert_ms": "expert", "exec_ms": "execution", "retrieval_ms": "retrieval"}
"""Fields of a tool call that such a tool may fill as a built-in one does."""


def added_parts(run: RunData) -> dict[str, tuple[str, str]]:
    """Part -> (label, SQL of its milliseconds in one event), as TOOL_PARTS; the last of a tool is its rest."""
    tools = added_tools(run)
    if not tools:
        return {}
    named: dict[str, list[str]] = {}
    for tool, part in run.rows(
        "SELECT DISTINCT tool, part FROM (SELECT tool, unnest(map_keys(parts_ms)) AS part FROM events "
        f"WHERE type = 'tool_call' AND parts_ms IS NOT NULL) WHERE {NAMED.format('part')} "
        f"ORDER BY tool, part LIMIT {4 * MOST}"
    ):
        named.setdefault(tool, []).append(part)
    sums = ", ".join(f"sum(n_{field})::BIGINT" for field in _FIELDS)
    filled = {
        row[0]: [field for field, n in zip(_FIELDS, row[1:], strict=True) if n]
        for row in run.rows(f"SELECT tool, {sums} FROM cells WHERE type = 'tool_call' GROUP BY tool")
    }
    parts: dict[str, tuple[str, str]] = {}
    for tool in tools:
        values = {_FIELDS[field]: field for field in filled.get(tool, ())}
        values |= {part: f"map_extract(parts_ms, '{part}')[1]" for part in named.get(tool, ())}
        for part, value in values.items():
            parts[f"tool-{tool}-{part}_ms"] = (f"{tool}: {part}", f"CASE WHEN tool = '{tool}' THEN {value} END")
        rest = " - ".join(("duration_total_ms", *(f"coalesce({value}, 0)" for value in values.values())))
        label = f"{tool}: rest" if values else tool
        parts[f"tool-{tool}_rest_ms"] = (label, f"CASE WHEN tool = '{tool}' THEN {rest} END")
    return parts
