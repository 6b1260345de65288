"""Prompts and tool descriptions as data files: built in, or replaced one by one from PROMPTS_DIR and TOOLS_FILE."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from podium_eval.prompts.prompt_file import BUILT_IN, PromptError, fill, read_file, read_prompt, slots

PLACEHOLDERS: Final[dict[str, frozenset[str]]] = {
    "orchestrator_system.md": frozenset(),
    "orchestrator.md": frozenset({"problem", "knowledge"}),
    "search.md": frozenset({"problem", "knowledge"}),
    "enhance_reasoning.md": frozenset({"problem", "knowledge", "seconds"}),
    "answer.md": frozenset({"problem", "knowledge", "answer_form"}),
}
"""Each template and what may stand in it as {name}; other braces, as in \\boxed{}, are text."""

_NEEDED: Final = frozenset({"problem"})
_CLOSE: Final = 0.75
"""Likeness from which a name counts as misspelt."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """texts: template by file name. hashes: sha256 of every prompt file used, tools.json included."""

    texts: Mapping[str, str]
    tools: bytes
    tools_path: Path
    hashes: Mapping[str, str]

    def fill(self, name: str, **values: str) -> str:
        """The template of that name, or that text, with its placeholders filled; values are not looked at again."""
        return fill(self.texts.get(name, name), values)


def load_prompts(prompts_dir: Path | None = None, tools_file: Path | None = None) -> Prompts:
    """Read the templates and tools.json.

    A file of PROMPTS_DIR wins over the built-in one of the same name (tools.json too), TOOLS_FILE over both.

    Raises:
        PromptError: a folder or file is missing or unreadable, or a template lacks {problem}.
    """
    if prompts_dir is not None:
        _refuse_misspelt(prompts_dir)
    texts: dict[str, str] = {}
    hashes: dict[str, str] = {}
    for name, allowed in PLACEHOLDERS.items():
        file = read_prompt(name, prompts_dir)
        text = file.text()
        missing = sorted((_NEEDED & allowed) - set(slots(text)))
        if missing:
            raise PromptError(f"{file.path}: lacks {{{missing[0]}}}, where the question goes")
        for slot in sorted(set(slots(text)) - allowed):
            if meant := get_close_matches(slot, allowed, 1, _CLOSE):
                raise PromptError(f"{file.path}: {{{slot}}} is no slot; did you mean {{{meant[0]}}}?")
        texts[name] = text.strip()
        hashes[name] = file.sha256
    if tools_file is not None and not tools_file.is_file():
        raise PromptError(f"TOOLS_FILE={tools_file}: no such file")
    tools = read_prompt("tools.json", prompts_dir) if tools_file is None else read_file(tools_file)
    hashes["tools.json"] = tools.sha256
    for path in sorted(BUILT_IN.glob("judge_*.md")):
        hashes[path.name] = read_prompt(path.name, prompts_dir).sha256
    return Prompts(texts=texts, tools=tools.data, tools_path=tools.path, hashes=hashes)


def _refuse_misspelt(folder: Path) -> None:
    """Refuse a prompt that would silently not be used; files of other kinds are the user's own business."""
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.suffix in (".md", ".json"))
    except OSError as error:
        raise PromptError(f"PROMPTS_DIR={folder}: {error.strerror}") from error
    known = [*PLACEHOLDERS, "tools.json", *(path.name for path in BUILT_IN.glob("judge_*.md"))]
    for name in names:
        if name not in known and (meant := get_close_matches(name, known, 1, _CLOSE)):
            raise PromptError(f"{folder / name}: is no prompt of Podium; did you mean {meant[0]}?")
