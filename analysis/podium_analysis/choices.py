"""What the orchestrator chose: tools and models, how often, and in what order."""

from typing import Any, Final

from podium_analysis.load import RunData

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
                f"SELECT list(tool ORDER BY nth) AS opening FROM tool_order WHERE nth <= {OPENING} "
                "GROUP BY task_id, epoch"
                ") GROUP BY opening ORDER BY n DESC, opening LIMIT 20"
            )
        ],
    }


_TOOL: Final = "CASE WHEN status = 'invalid' THEN 'invalid' ELSE tool END"


def _order(run: RunData) -> None:
    """tool_order: the tools of each task's counted attempt in their order, nth from 1."""
    keep = ""
    if run.rows("SELECT count(*) FROM dropped")[0][0]:
        keep = "AND rowid NOT IN (SELECT place FROM dropped)"
    run.execute(
        f"""
        CREATE OR REPLACE TABLE tool_order AS
        SELECT task_id, epoch, tool, row_number() OVER same AS nth, lead(tool) OVER same AS following FROM (
            SELECT task_id, coalesce(epoch, 1) AS epoch, {_TOOL} AS tool, rowid AS place
            FROM events WHERE type = 'tool_call' AND task_id IS NOT NULL {keep})
        WINDOW same AS (PARTITION BY task_id, epoch ORDER BY place)
        """
    )


def _transitions(run: RunData) -> list[dict[str, Any]]:
    rows = run.rows(
        f"""
        SELECT before, after, count(*) AS n FROM (
            SELECT tool AS before, coalesce(following, '{END}') AS after FROM tool_order
            UNION ALL SELECT '{START}', tool FROM tool_order WHERE nth = 1)
        GROUP BY ALL ORDER BY before, n DESC, after
        """
    )
    totals: dict[str, int] = {}
    for before, _, n in rows:
        totals[before] = totals.get(before, 0) + n
    return [{"from": before, "to": after, "n": n, "share_of_from": n / totals[before]} for before, after, n in rows]
