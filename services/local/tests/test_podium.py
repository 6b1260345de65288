"""podium lists and runs the other commands; a real bash completes them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from podium_local.podium import SHORT, WHOLE, argv_of, commands, complete, main


def podium(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "podium_local.podium", *words], capture_output=True, text=True, timeout=60
    )


def bash(*words: str, script: Path) -> list[str]:
    """What bash offers for the last word, with our script sourced."""
    quoted = " ".join(f"'{word}'" for word in words)
    program = (
        f"source '{script}'; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _podium; "
        "printf '%s\\n' \"${COMPREPLY[@]}\"; complete -p podium-eval"
    )
    done = subprocess.run(["bash", "--norc", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    *offered, registered = done.stdout.splitlines()
    assert "-F _podium podium-eval" in registered
    return offered


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bash") / "completion"
    done = podium("completion", "bash")
    assert done.returncode == 0, done.stderr
    path.write_text(done.stdout)
    return path


def test_help_lists_every_command_with_its_old_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    for word in (*SHORT, *WHOLE):
        assert f"podium {word} " in told
    for command in commands():
        assert command in told


def test_a_word_stands_for_the_commands_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert argv_of(["run", "--limit", "3"]) == ["podium-eval", "run", "--limit", "3"]
    assert argv_of(["local", "run"]) == ["podium-local", "run"]
    assert main(["reprot"]) == 2
    assert "did you mean report?" in capsys.readouterr().err


def test_bash_completes_commands_and_options(script: Path) -> None:
    assert bash("podium", "re", script=script) == ["rejudge", "report", "retrieval"]
    assert bash("podium-local", "p", script=script) == ["prepare"]
    assert bash("podium-local", "run", "--po", script=script) == ["--ports"]
    assert bash("podium", "local", "run", "--run", script=script) == ["--runs-dir", "--run-id"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_their_script(shell: str) -> None:
    done = podium("completion", shell)
    assert done.returncode == 0, done.stderr
    assert "podium-analysis" in done.stdout
    if (found := shutil.which(shell)) is not None:
        checked = subprocess.run([found, "-n", "-c", done.stdout], capture_output=True, text=True, timeout=60)
        assert checked.returncode == 0, checked.stderr


def test_what_no_command_knows_is_left_to_the_shell() -> None:
    assert complete(["podium", "run", "file"]) == []
    assert complete(["podium-unknown", ""]) == []
