"""The example of docs/api.md, as it stands, in a process of its own."""

import re
import sys
from pathlib import Path

from harness.chain import questions, server
from harness.process import Eval

DOCS = Path(__file__).parents[3] / "docs" / "api.md"


async def test_the_documented_run_from_python_works(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python run\n(.*?)```", DOCS.read_text(), re.DOTALL)
    async with server() as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "questions.jsonl", ["a", "b", "c"]), run_id="other")
        await run.start(source=example)
        assert run.process is not None
        assert await run.process.wait() == 0, run.lines
        await run.says("0 " + str(run.runs / "notebook"))
    assert len(list((run.runs / "notebook" / "tasks").iterdir())) == 2
    assert sys.modules["podium_eval"].__doc__
