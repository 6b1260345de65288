"""What no committed file may hold: a registry's host, a path of the machine it was made on, a key, a dataset."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOSTS = ("pypi" + ".org", "python" + "hosted.org", "deb." + "debian.org", "registry." + "npmjs.org")
KEYS = re.compile(r"\b(sk-[A-Za-z0-9]{20,}|hf_[A-Za-z0-9]{30,}|tvly-[A-Za-z0-9]{20,})\b")


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        pytest.skip("not a git clone")
    found: dict[str, str] = {}
    for name in done.stdout.split("\0"):
        path = ROOT / name
        if name and not name.startswith(".gpu/") and path.is_file():
            try:
                found[name] = path.read_text()
            except UnicodeDecodeError:
                continue
    return found


def test_no_registry_is_named(texts: dict[str, str]) -> None:
    assert [(name, host) for name, text in texts.items() for host in HOSTS if host in text] == []


def test_no_path_of_this_machine(texts: dict[str, str]) -> None:
    here = str(ROOT)
    assert [name for name, text in texts.items() if here in text] == []


def test_no_key(texts: dict[str, str]) -> None:
    assert [(name, m[0][:8]) for name, text in texts.items() if (m := KEYS.search(text))] == []


def test_nothing_that_git_should_ignore_is_tracked(texts: dict[str, str]) -> None:
    wrong = re.compile(r"(^|/)(\.env|uv\.lock|hle[^/]*\.jsonl|[^/]*\.arrow)$")
    assert [name for name in texts if wrong.search(name)] == []


def test_paths_that_the_architecture_page_names_exist(texts: dict[str, str]) -> None:
    named = re.findall(r"`((?:eval|analysis|services)/[^`*]+)`", texts["docs/architecture.md"])
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []
