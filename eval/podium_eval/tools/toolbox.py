"""The tools of a run and the experts that they call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from podium_eval.clock import Clock
from podium_eval.grading.grader import Grader
from podium_eval.models.chat import Chat
from podium_eval.settings.run import RunSettings
from podium_eval.tools.added.guarded import GuardedTool
from podium_eval.tools.answer import AnswerTool
from podium_eval.tools.enhance_reasoning import EnhanceReasoningTool
from podium_eval.tools.retrieval_client import Search
from podium_eval.tools.sandbox_client import Sandbox
from podium_eval.tools.search import SearchTool
from podium_eval.tools.tool import Tool


@dataclass(frozen=True, slots=True)
class Toolbox:
    """tools: by name. experts: by alias. answer: the tool that ends an episode."""

    tools: Mapping[str, Tool]
    experts: Mapping[str, Chat]
    answer: AnswerTool

    def used(self, tool: str, alias: str | None) -> tuple[str, str | None]:
        """Provider and model of a call: the expert's, or where the tool needs none what it comes from."""
        if alias is not None:
            return self.experts[alias].provider, self.experts[alias].model
        known = self.tools[tool]
        return known.source if isinstance(known, GuardedTool) else ("tool", None)


def make_toolbox(
    experts: Mapping[str, Chat],
    search: Search,
    sandbox: Sandbox,
    grader: Grader,
    settings: RunSettings,
    clock: Clock,
    added: Sequence[GuardedTool] = (),
) -> Toolbox:
    """The run's tools: the built-in ones, and those of entry points and MCP servers.

    Raises:
        PromptError: the answer's instructions in PROMPTS_DIR cannot be read.
    """
    answer = AnswerTool(grader, settings, clock)
    tools: Sequence[Tool] = (
        SearchTool(search, settings, clock),
        EnhanceReasoningTool(sandbox, settings, clock),
        answer,
        *added,
    )
    return Toolbox({tool.name: tool for tool in tools}, experts, answer)
