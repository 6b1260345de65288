import re
from importlib.metadata import version
from pathlib import Path

from podium_eval.log.machine import versions

LOCK = Path(__file__).parents[2] / "requirements.lock"


def test_run_json_names_the_packages_that_eval_uses() -> None:
    found = versions()
    locked = set(re.findall(r"^([\w.-]+)==", LOCK.read_text(), re.MULTILINE))
    own = {"python", "podium-eval", "podium-contracts"}
    assert found.keys() - own <= locked
    assert {"aiohttp", "httpx2", "openai"} <= found.keys()
    assert found["httpx2"] == version("httpx2")
