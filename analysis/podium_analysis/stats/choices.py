"""What the orchestrator chose: tools and models, how often, and in what order."""

from typing import Final

from msgspec import field

from podium_analysis.load.run_data import RunData
from podium_analysis.load.schema import IN_TIME
from podium_analysis.section import Count, Section, Share
from podium_analysis.stats.counted import Counted

START: Final = "start"
END: Final = "end"
OPENING: Final = 3
"""How many first tools make an opening."""


class ToolChoice(Section, frozen=True):
    """Calls of one tool; `invalid` are turns that named no tool or no model that exists."""

    tool: str
    n: Count
    share: Share
    by_status: dict[str, Count]


class ModelChoice(Section, frozen=True):
    """Calls of one tool with one model."""

    tool: str
    alias: str | None
    provider: str | None
    model: str | None
    n: Count
    n_ok: Count
    share_of_tool: Share


class StepChoice(Section, frozen=True):
    """Calls by tool at one step."""

    step: Count
    tools: dict[str, Count]


class Transition(Section, frozen=True):
    """How often one tool followed another, `start` and `end` among them."""

    before: str = field(name="from")
    after: str = field(name="to")
    n: Count
    share_of_from: Share


class Opening(Section, frozen=True):
    """The first tools of a task."""

    tools: list[str]
    n: Count


class Choices(Section, frozen=True):
    """What the orchestrator chose. transitions and openings are of the calls that count."""

    n: Count
    tools: list[ToolChoice]
    models: list[ModelChoice]
    by_step: list[StepChoice]
    transitions: list[Transition]
    openings: list[Opening]


def choice_statistics(run: RunData, counted: Counted) -> Choices:
    """Counts of tools, models, transitions between tools of a task, first tools and openings, and tools by step."""
    total = int(run.rows("SELECT coalesce(sum(n), 0)::BIGINT FROM cells WHERE type = 'tool_call'")[0][0])
    by_status: dict[str, dict[str, int]] = {}
    for tool, status, n in run.rows(
        f"SELECT {_TOOL} AS t, status, sum(n)::BIGINT FROM cells WHERE type = 'tool_call' GROUP BY ALL "
        "ORDER BY t, status"
    ):
        by_status.setdefault(tool, {})[status] = n
    of_tool = {tool: sum(counts.values()) for tool, counts in by_status.items()}
    steps: dict[int, dict[str, int]] = {}
    for step, tool, n in run.rows(
        f"SELECT step, {_TOOL} AS t, sum(at_step)::BIGINT FROM cells JOIN "
        "(SELECT kind, step, count(*) AS at_step FROM events WHERE step IS NOT NULL GROUP BY ALL) USING (kind) "
        "WHERE type = 'tool_call' GROUP BY ALL ORDER BY step, t"
    ):
        steps.setdefault(step, {})[tool] = n
    order = _order(run, counted)
    return Choices(
        n=total,
        tools=sorted(
            (ToolChoice(tool, of_tool[tool], of_tool[tool] / total, counts) for tool, counts in by_status.items()),
            key=lambda entry: (-entry.n, entry.tool),
        ),
        models=[
            ModelChoice(*row, share_of_tool=row[4] / of_tool[row[0]])
            for row in run.rows(
                f"SELECT {_TOOL} AS t, alias, provider, model, sum(n)::BIGINT AS total, "
                "coalesce(sum(n) FILTER (status = 'ok'), 0)::BIGINT FROM cells WHERE type = 'tool_call' "
                "AND status <> 'invalid' GROUP BY ALL ORDER BY t, total DESC, alias, provider, model"
            )
        ],
        by_step=[StepChoice(step, counts) for step, counts in steps.items()],
        transitions=_transitions(run, order),
        openings=[
            Opening([tool for tool in opening if tool is not None], n)
            for opening, n in run.rows(
                "SELECT opening, count(*) AS n FROM ("
                f"SELECT list({_TOOL} ORDER BY nth) AS opening FROM {order} JOIN cells USING (kind) "
                f"WHERE nth <= {OPENING} GROUP BY task"
                ") GROUP BY opening ORDER BY n DESC, opening LIMIT 20"
            )
        ],
    )


_TOOL: Final = "CASE WHEN status = 'invalid' THEN 'invalid' ELSE tool END"


def _order(run: RunData, counted: Counted) -> str:
    """A table's name: the kinds of each task's counted tool calls in their order, nth from 1; following: the next."""
    run.execute(
        f"""
        CREATE OR REPLACE TABLE tool_order AS
        SELECT task, kind, row_number() OVER same AS nth, lead(kind) OVER same AS following FROM (
            SELECT hash(task_id, coalesce(epoch, 1)) AS task, kind, segment, mono_ms
            FROM events WHERE type = 'tool_call' AND task_id IS NOT NULL {counted.keep})
        WINDOW same AS (PARTITION BY task ORDER BY {IN_TIME})
        """
    )
    return "tool_order"


def _transitions(run: RunData, order: str) -> list[Transition]:
    rows = run.rows(
        f"""
        WITH named AS (SELECT kind, {_TOOL} AS tool FROM cells),
        pairs AS (
            SELECT kind, following, count(*) AS n, count(*) FILTER (nth = 1) AS n_first FROM {order} GROUP BY ALL)
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
    return [Transition(before, after, n, n / totals[before]) for before, after, n in rows]
