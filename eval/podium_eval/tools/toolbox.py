"""The tools of a run and the experts that they call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from podium_eval.clock import Clock
from podium_eval.grading.grader import Grader
from podium_eval.models.chat import Chat
from podium_eval.settings.run import RunSettings
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


def make_toolbox(
    experts: Mapping[str, Chat], search: Search, sandbox: Sandbox, grader: Grader, settings: RunSettings, clock: Clock
) -> Toolbox:
    """The run's tools. A new one is a module beside this and a row here.

    Raises:
        PromptError: the answer's instructions in PROMPTS_DIR cannot be read.
    """
    answer = AnswerTool(grader, settings, clock)
    tools: Sequence[Tool] = (
        SearchTool(search, settings, clock),
        EnhanceReasoningTool(sandbox, settings, clock),
        answer,
    )
    return Toolbox({tool.name: tool for tool in tools}, experts, answer)
