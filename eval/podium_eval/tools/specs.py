"""tools.json: which tools and experts the orchestrator may name, and what a call of it means."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final, cast

from podium_contracts.names import ALIASES, EXPERTS, TOOLS

from podium_eval.models.chat import ChatResult, ToolSpec
from podium_eval.prompts.prompt_file import PromptError
from podium_eval.prompts.templates import Prompts
from podium_eval.tools.added.fitting import misfit
from podium_eval.tools.tool import AddedTool
from podium_eval.tools.tool_call import DEEPEST, is_shallow, parse_arguments, tool_name, written_call


@dataclass(frozen=True, slots=True)
class Chosen:
    """A valid call: the tool, the expert's alias (None: it needs no expert), the arguments as the model gave them."""

    tool: str
    alias: str | None
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Invalid:
    """A turn that called nothing that exists. named: the tool it named, '' for none."""

    named: str
    reason: str
    arguments: dict[str, Any]


class ToolSpecs:
    """The tools as the model sees them, and the names it may use.

    specs: for ChatRequest.tools. aliases: for each tool the names it takes, each with its alias; none for a
    tool that needs no expert.
    """

    def __init__(self, specs: Sequence[ToolSpec], aliases: Mapping[str, Mapping[str, str]]) -> None:
        self.specs = tuple(specs)
        self._aliases = aliases
        self._parameters = {spec.name: spec.parameters for spec in self.specs}

    def aliases_of(self, tool: str) -> frozenset[str]:
        """The experts that a tool may be called with."""
        return frozenset(self._aliases.get(tool, {}).values())

    def only(self, aliases: frozenset[str]) -> "ToolSpecs":
        """These tools with no other experts than `aliases`; a tool left without any is left out."""
        names = {
            tool: kept
            for tool, known in self._aliases.items()
            if (kept := {name: alias for name, alias in known.items() if alias in aliases}) or not known
        }
        return ToolSpecs([_narrowed(spec, names[spec.name]) for spec in self.specs if spec.name in names], names)

    def offered(self, patterns: Sequence[str]) -> "ToolSpecs":
        """Those of these tools whose name fits one of the patterns."""
        kept = [spec for spec in self.specs if any(fnmatchcase(spec.name, pattern) for pattern in patterns)]
        return ToolSpecs(kept, {spec.name: self._aliases[spec.name] for spec in kept})

    def read(self, result: ChatResult) -> Chosen | Invalid:
        """The first call of an orchestrator turn; of several only the first counts.

        A call that the server's parser left in the text or in the thinking as <tool_call>{…}</tool_call> counts too.
        """
        call = result.tool_calls[0] if result.tool_calls else written_call(result)
        if call is None:
            return Invalid("", "the turn called no tool", {})
        name = tool_name(call.name)
        try:
            given = parse_arguments(call.arguments)
        except (ValueError, RecursionError):
            return Invalid(name, f"the arguments of {name[:80]!r} are no JSON", {})
        if not isinstance(given, dict):
            return Invalid(name, f"the arguments of {name[:80]!r} are no JSON object", {})
        if not is_shallow(given, DEEPEST):
            return Invalid(name, f"the arguments of {name[:80]!r} are nested deeper than {DEEPEST} levels", {})
        arguments = cast("dict[str, Any]", given)
        if name not in self._aliases:
            return Invalid(name, f"there is no tool {name[:80]!r}; the tools are {', '.join(self._aliases)}", arguments)
        if name not in TOOLS and (problem := misfit(arguments, self._parameters[name])) is not None:
            return Invalid(name, f"{name} was called wrongly: {problem}", arguments)
        model: Any = arguments.get("model")
        names = self._aliases[name]
        if not names:
            return Chosen(name, None, arguments)
        if not isinstance(model, str) or model.strip() not in names:
            shown = "no model" if model is None else f"the model {str(model)[:80]!r}"
            return Invalid(name, f"{name} was called with {shown}; it takes {', '.join(names)}", arguments)
        return Chosen(name, names[model.strip()], arguments)


def load_tool_specs(
    prompts: Prompts,
    experts: Mapping[str, str],
    model_aliases: Mapping[str, str] | None = None,
    added: Sequence[AddedTool] = (),
) -> ToolSpecs:
    """Read tools.json in ToolOrchestra's form: a list of OpenAI function tools with a `model` parameter.

    experts: configured alias -> its model's name. A name in a `model` enum is an alias, a key of model_aliases
    (TOOL_MODEL_ALIASES), or the model of exactly one of the tool's configured experts; names of aliases that are not
    configured are taken out of the enum. A tool without an enum takes its own configured aliases and names mapped to
    them. A tool of which no expert is configured is left out. Added tools follow, each as it describes itself or as
    the file does.

    Raises:
        PromptError: the file has another form, a name means no alias, or `answer` is left without any expert.
    """
    where = prompts.tools_path
    mapped = dict(model_aliases or {})
    for name, alias in mapped.items():
        if alias not in ALIASES:
            raise PromptError(f"TOOL_MODEL_ALIASES: {name!r} means {alias!r}, which is none of {', '.join(ALIASES)}")
    try:
        raw: Any = json.loads(prompts.tools)
    except (ValueError, RecursionError) as error:
        raise PromptError(f"{where}: is no JSON ({error})") from error
    if not isinstance(raw, list) or not raw:
        raise PromptError(f"{where}: must be a list of function tools")
    specs: list[ToolSpec] = []
    aliases: dict[str, dict[str, str]] = {}
    added_by_name = {tool.name: tool for tool in added}
    written: dict[str, Mapping[str, Any]] = {}
    for number, item in enumerate(cast("list[Any]", raw), start=1):
        if (described := _of_added(item, added_by_name)) is not None:
            written[described["name"]] = described
            continue
        spec, names = _tool(item, f"{where}: tool {number}", experts, mapped)
        if not names:
            continue  # no expert of it is configured: it is not offered
        specs.append(spec)
        aliases[spec.name] = names
    for tool in added:
        names = {alias: alias for alias in tool.aliases if alias in experts}
        if names or not tool.aliases:
            specs.append(_added_spec(tool, written.get(tool.name, {}), names))
            aliases[tool.name] = names
    if "answer" not in aliases:
        raise PromptError(f"{where}: lacks the tool 'answer', so no task could end")
    return ToolSpecs(specs, aliases)


def _of_added(item: Any, added: Mapping[str, AddedTool]) -> Mapping[str, Any] | None:
    """What the file holds of an added tool; None: the item is none's."""
    function: Any = cast("dict[str, Any]", item).get("function") if isinstance(item, dict) else None
    known: dict[str, Any] = cast("dict[str, Any]", function) if isinstance(function, dict) else {}
    return known if isinstance(known.get("name"), str) and known["name"] in added else None


def _added_spec(tool: AddedTool, written: Mapping[str, Any], names: Mapping[str, str]) -> ToolSpec:
    parameters: Any = written.get("parameters", tool.parameters)
    schema: dict[str, Any] = {"type": "object", **(parameters if isinstance(parameters, dict) else {})}
    if names:
        model = {"type": "string", "enum": list(names), "description": "The expert that it uses."}
        schema["properties"] = {"model": model, **schema.get("properties", {})}
        schema["required"] = ["model", *(name for name in schema.get("required", ()) if name != "model")]
    return ToolSpec(tool.name, str(written.get("description", tool.description)), schema)


_FORM: Final = "needs function.name and function.parameters.properties.model, as OpenAI's function tools do"


def _tool(
    item: Any, where: str, experts: Mapping[str, str], mapped: Mapping[str, str]
) -> tuple[ToolSpec, dict[str, str]]:
    try:
        function: dict[str, Any] = item["function"]
        name: Any = function["name"]
        parameters: dict[str, Any] = function["parameters"]
        properties: dict[str, Any] = parameters["properties"]
        model: dict[str, Any] = properties["model"]
        parts: list[Any] = [function, parameters, properties, model]
    except (KeyError, TypeError, IndexError) as error:
        raise PromptError(f"{where}: {_FORM}") from error
    if not all(isinstance(part, dict) for part in parts):
        raise PromptError(f"{where}: {_FORM}")
    if name not in TOOLS:
        raise PromptError(f"{where}: {name!r} is none of {', '.join(TOOLS)} and no added tool (TOOLS, MCP_SERVERS)")
    listed: Any = model.get("enum")
    if listed is None:
        aliases = [alias for alias in EXPERTS[name] if alias in experts]
        names = {alias: alias for alias in aliases}
        names |= {other: alias for other, alias in mapped.items() if alias in aliases}
        wanted = dict(parameters)
    elif not isinstance(listed, list):
        raise PromptError(f"{where}: the enum of its model is no list")
    else:
        meanings = {
            str(entry): _alias_of(str(entry), name, experts, mapped, where) for entry in cast("list[Any]", listed)
        }
        names = {entry: alias for entry, alias in meanings.items() if alias in experts}
        wanted = {**parameters, "properties": {**properties, "model": {**model, "enum": list(names)}}}
    if not names and name == "answer":
        raise PromptError(f"{where}: none of the experts of {name!r} is configured; set EXPERT_<ALIAS> for one")
    return ToolSpec(name, str(function.get("description", "")), wanted), names


def _narrowed(spec: ToolSpec, names: Mapping[str, str]) -> ToolSpec:
    if not names:
        return spec
    properties: Mapping[str, Any] = spec.parameters["properties"]
    model = {**properties["model"], "enum": list(names)}
    return replace(spec, parameters={**spec.parameters, "properties": {**properties, "model": model}})


def _alias_of(entry: str, tool: str, experts: Mapping[str, str], mapped: Mapping[str, str], where: str) -> str:
    """What a name in a tool's enum means: one name may mean another expert in each tool."""
    if mapped.get(entry) in EXPERTS[tool]:
        return mapped[entry]
    if entry in ALIASES:
        if entry not in EXPERTS[tool]:
            its = next(name for name, aliases in EXPERTS.items() if entry in aliases)
            raise PromptError(f"{where}: {entry!r} is an expert of {its!r}, not of {tool!r}")
        return entry
    models = {alias: model for alias, model in experts.items() if alias in EXPERTS[tool]}
    serving = [alias for alias, model in models.items() if model == entry or model.rpartition("/")[2] == entry]
    if len(serving) == 1:
        return serving[0]
    why = (
        f"is the model of {', '.join(serving)}"
        if serving
        else f"is no alias and no configured expert's model of {tool}"
    )
    raise PromptError(f"{where}: the model name {entry!r} {why}; say which alias it means in TOOL_MODEL_ALIASES")
