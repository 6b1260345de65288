"""Prompts and tool descriptions as data files: built in, or replaced one by one from PROMPTS_DIR and TOOLS_FILE."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

BUILT_IN: Final = Path(__file__).parent

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


class PromptError(ValueError):
    """A prompt or tools file cannot be used; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """texts: template by file name. hashes: sha256 of every prompt file used, tools.json included."""

    texts: Mapping[str, str]
    tools: bytes
    tools_path: Path
    hashes: Mapping[str, str]

    def fill(self, name: str, **values: str) -> str:
        """The template of that name, or that text, with its placeholders filled; values are not looked at again."""
        return _fill(self.texts.get(name, name), values)


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
        path = _chosen(prompts_dir, name)
        raw = _read(path)
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise PromptError(f"{path}: is not UTF-8 at byte {error.start}") from error
        missing = sorted((_NEEDED & allowed) - set(_names(text)))
        if missing:
            raise PromptError(f"{path}: lacks {{{missing[0]}}}, where the question goes")
        for slot in sorted(set(_names(text)) - allowed):
            if meant := get_close_matches(slot, allowed, 1, _CLOSE):
                raise PromptError(f"{path}: {{{slot}}} is no slot; did you mean {{{meant[0]}}}?")
        texts[name] = text.strip()
        hashes[name] = hashlib.sha256(raw).hexdigest()
    if tools_file is not None and not tools_file.is_file():
        raise PromptError(f"TOOLS_FILE={tools_file}: no such file")
    tools_path = tools_file or _chosen(prompts_dir, "tools.json")
    tools = _read(tools_path)
    hashes["tools.json"] = hashlib.sha256(tools).hexdigest()
    for path in sorted(BUILT_IN.glob("judge_*.md")):
        hashes[path.name] = hashlib.sha256(_read(_chosen(prompts_dir, path.name))).hexdigest()
    return Prompts(texts=texts, tools=tools, tools_path=tools_path, hashes=hashes)


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


def _chosen(prompts_dir: Path | None, name: str) -> Path:
    if prompts_dir is not None and (prompts_dir / name).exists():
        return prompts_dir / name
    return BUILT_IN / name


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PromptError(f"{path}: {error.strerror}") from error


_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")


def _names(text: str) -> list[str]:
    return _PLACEHOLDER.findall(text)


def _fill(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)
