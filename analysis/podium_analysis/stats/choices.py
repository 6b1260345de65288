"""What the orchestrator chose: tools and models, how often, and in what order."""

from typing import Any, Final

from podium_analysis.load.run_data import RunData
from podium_analysis.load.schema import IN_TIME

START: Final = "start"
END: Final = "end"
OPENING: Final = 3
"""How many first tools make an opening."""


def choice_statistics(run: RunData) -> dict[str, Any]:
    """Counts of tools, models, transitions between tools of a task, first tools and openings, and tools by step."""
    total = int(run.rows("SELECT coalesce(sum(n), 0)::BIGINT FROM cells WHERE type = 'tool_call'")[0][0])
    tools: dict[str, dict[str, Any]] = {}
    for tool, status, n in run.rows(
        f"SELECT {_TOOL} AS t, status, sum(n)::BIGINT FROM cells WHERE type = 'tool_call' GROUP BY ALL "
        "ORDER BY t, status"
    ):
        entry = tools.setdefault(tool, {"tool": tool, "n": 0, "share": 0.0, "by_status": {}})
        entry["n"] += n
        entry["by_status"][status] = n
    for entry in tools.values():
        entry["share"] = entry["n"] / total
    models = [
        {
            "tool": tool,
            "alias": alias,
            "provider": provider,
            "model": model,
            "n": n,
            "n_ok": n_ok,
            "share_of_tool": n / tools[tool]["n"],
        }
        for tool, alias, provider, model, n, n_ok in run.rows(
            f"SELECT {_TOOL} AS t, alias, provider, model, sum(n)::BIGINT AS total, "
            "coalesce(sum(n) FILTER (status = 'ok'), 0)::BIGINT FROM cells WHERE type = 'tool_call' "
            "AND status <> 'invalid' GROUP BY ALL ORDER BY t, total DESC, alias, provider, model"
        )
    ]
    steps: dict[int, dict[str, int]] = {}
    for step, tool, n in run.rows(
        f"SELECT step, {_TOOL} AS t, sum(at_step)::BIGINT FROM cells JOIN "
        "(SELECT kind, step, count(*) AS at_step FROM events WHERE step IS NOT NULL GROUP BY ALL) USING (kind) "
        "WHERE type = 'tool_call' GROUP BY ALL ORDER BY step, t"
    ):
        steps.setdefault(step, {})[tool] = n
    _order(run)
    return {
        "n": total,
        "tools": sorted(tools.values(), key=lambda entry: (-entry["n"], entry["tool"])),
        "models": models,
        "by_step": [{"step": step, "tools": counts} for step, counts in steps.items()],
        "transitions": _transitions(run),
        "openings": [
            {"tools": [tool for tool in opening if tool is not None], "n": n}
            for opening, n in run.rows(
                "SELECT opening, count(*) AS n FROM ("
                f"SELECT list({_TOOL} ORDER BY nth) AS opening FROM tool_order JOIN cells USING (kind) "
                f"WHERE nth <= {OPENING} GROUP BY task"
                ") GROUP BY opening ORDER BY n DESC, opening LIMIT 20"
            )
        ],
    }


_TOOL: Final = "CASE WHEN status = 'invalid' THEN 'invalid' ELSE tool END"


def _order(run: RunData) -> None:
    """tool_order: the kinds of each task's counted tool calls in their order, nth from 1; following: the next one's."""
    keep = ""
    if run.rows("SELECT count(*) FROM dropped")[0][0]:
        keep = "AND rowid NOT IN (SELECT place FROM dropped)"
    run.execute(
        f"""
        CREATE OR REPLACE TABLE tool_order AS
        SELECT task, kind, row_number() OVER same AS nth, lead(kind) OVER same AS following FROM (
            SELECT hash(task_id, coalesce(epoch, 1)) AS task, kind, segment, mono_ms
            FROM events WHERE type = 'tool_call' AND task_id IS NOT NULL {keep})
        WINDOW same AS (PARTITION BY task ORDER BY {IN_TIME})
        """
    )


def _transitions(run: RunData) -> list[dict[str, Any]]:
    rows = run.rows(
        f"""
        WITH named AS (SELECT kind, {_TOOL} AS tool FROM cells),
        pairs AS (
            SELECT kind, following, count(*) AS n, count(*) FILTER (nth = 1) AS n_first FROM tool_order GROUP BY ALL)
        SELECT before, after, sum(n)::BIGINT AS total FROM (
            SELECT a.tool AS before, coalesce(b.tool, '{END}') AS after, n
            FROM pairs JOIN named a USING (kind) LEFT JOIN named b ON b.kind = following
            UNION ALL SELECT '{START}', tool, n_first FROM pairs JOIN named USING (kind) WHERE n_first > 0)
        GROUP BY ALL ORDER BY before, total DESC, after
        """
    )
    totals: dict[str, int] = {}
    for before, _, n in rows:
        totals[before] = totals.get(before, 0) + n
    return [{"from": before, "to": after, "n": n, "share_of_from": n / totals[before]} for before, after, n in rows]
