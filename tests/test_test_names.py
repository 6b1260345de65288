"""A test's name is one statement that is read at a glance: at most ten words."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("tests", "eval/tests", "analysis/tests", "services")
MOST_WORDS = 10


def test_names_of_tests_have_at_most_ten_words() -> None:
    long: list[str] = []
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                words = node.name.removeprefix("test_").split("_")
                if len(words) > MOST_WORDS:
                    long.append(f"{path.relative_to(ROOT)}: {node.name} has {len(words)} words")
    assert not long, "\n".join(long)
