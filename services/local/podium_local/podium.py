"""podium: one command that lists the others and runs them, and completes all of them in bash, zsh and fish."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

SHORT: Final = {
    "run": ("podium-eval", "ask the questions, grade the answers; an existing run is resumed"),
    "check": ("podium-eval", "what a run needs and what is missing"),
    "probe": ("podium-eval", "one real question to an expert or the judge"),
    "data": ("podium-eval", "check, describe or cut a dataset"),
    "estimate": ("podium-eval", "time and money of a run"),
    "ctl": ("podium-eval", "steer a run that is on: pause, resume, concurrency, cancel"),
    "rejudge": ("podium-eval", "grade saved answers with another judge"),
    "report": ("podium-analysis", "statistics, figures and report.html of a run"),
    "compare": ("podium-analysis", "two runs side by side"),
    "gate": ("podium-analysis", "fail when a run is worse than a base"),
    "list": ("podium-analysis", "which runs there are"),
    "export": ("podium-analysis", "a run as Parquet or CSV"),
    "trace": ("podium-analysis", "a run's trace for Perfetto"),
    "export-inspect": ("podium-analysis", "a run for inspect_ai's viewer"),
    "build-index": ("podium-retrieval", "an index from a corpus"),
    "fetch-index": ("podium-retrieval", "a ready index from the hub"),
    "query": ("podium-retrieval", "a search from the shell, with scores and times"),
}
"""`podium WORD …` is `COMMAND WORD …`."""

WHOLE: Final = {
    "local": ("podium-local", ("run", "prepare", "gpus"), "the whole chain as processes of this machine"),
    "retrieval": ("podium-retrieval", ("serve", "build-index", "fetch-index", "screen", "query"), "the search service"),
    "sandbox": ("podium-sandbox", ("serve",), "the service that runs experts' programs"),
    "live": ("podium-live", ("serve",), "the page that shows runs while they run"),
    "vllm": ("podium-vllm", ("serve", "health", "build-embedded"), "vLLM from the SERVE_ settings"),
}
"""`podium WORD …` is `COMMAND …`."""

HELP_TIMEOUT_S: Final = 20.0
_BASH: Final = """\
_podium() {{
  local IFS=$'\\n'
  COMPREPLY=($({python} -m podium_local.podium complete "${{COMP_WORDS[@]:0:COMP_CWORD+1}}" 2>/dev/null))
}}
complete -o default -F _podium {commands}
"""
_SCRIPTS: Final = {
    "bash": _BASH,
    "zsh": "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n" + _BASH,
    "fish": "for command in {commands}\n"
    "  complete -c $command -a '({python} -m podium_local.podium complete (commandline -opc) (commandline -ct))'\n"
    "end\n",
}


def commands() -> dict[str, tuple[str, ...]]:
    """Every console command with its sub-commands."""
    subcommands: dict[str, tuple[str, ...]] = {command: subs for command, subs, _ in WHOLE.values()}
    for word, (command, _) in SHORT.items():
        subcommands[command] = tuple(dict.fromkeys((*subcommands.get(command, ()), word)))
    return subcommands | {"podium": (*SHORT, *WHOLE, "completion")}


def overview() -> str:
    """What `podium --help` prints."""
    rows = [(word, text, command) for word, (command, text) in SHORT.items()]
    rows += [(word, text, command) for word, (command, _, text) in WHOLE.items()]
    lines = [f"  podium {word:15} {text} ({command})" for word, text, command in rows]
    end = '  podium completion SHELL  bash, zsh or fish: eval "$(podium completion bash)"'
    return "\n".join(["usage: podium COMMAND …; podium COMMAND --help lists its options", "", *lines, end])


def argv_of(words: Sequence[str]) -> list[str] | None:
    """The console command that `podium WORDS` runs; None: there is none."""
    if words and words[0] in SHORT:
        return [SHORT[words[0]][0], *words]
    if words and words[0] in WHOLE:
        return [WHOLE[words[0]][0], *words[1:]]
    return None


def complete(words: Sequence[str]) -> list[str]:
    """Completions of the last of `words`, which begin with the command's name: sub-commands, then options."""
    command, current = os.path.basename(words[0]), words[-1] if len(words) > 1 else ""
    before = list(words[1:-1])
    if command == "podium" and before:
        if before[0] == "completion":
            return [shell for shell in _SCRIPTS if shell.startswith(current)]
        argv = argv_of(before)
        if argv is None:
            return []
        command, before = argv[0], argv[1:]
    if not before:
        return [sub for sub in commands().get(command, ()) if sub.startswith(current)]
    if not current.startswith("-") or before[0] not in commands().get(command, ()):
        return []  # the shell completes file names
    return [option for option in _options(command, before[0]) if option.startswith(current)]


def _options(command: str, sub: str) -> list[str]:
    """The long options that the sub-command's help lists."""
    try:
        helped = subprocess.run(
            [sys.executable, "-m", command.replace("-", "_"), sub, "--help"],
            capture_output=True, text=True, timeout=HELP_TIMEOUT_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    return list(dict.fromkeys(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", helped.stdout)))


def main(argv: Sequence[str] | None = None) -> int:
    """Replace this process by the command; 2: no such command."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["complete"]:
        print("\n".join(complete(words[1:])) if words[1:] else "")
        return 0
    if words[:1] == ["completion"] and len(words) == 2 and words[1] in _SCRIPTS:
        print(_SCRIPTS[words[1]].format(python=sys.executable, commands=" ".join(commands())), end="")
        return 0
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    target = argv_of(words)
    if target is None:
        close = get_close_matches(words[0], [*SHORT, *WHOLE, "completion"], 1)
        hint = f"did you mean {close[0]}?" if close else "podium --help lists them"
        print(f"podium: there is no command {words[0]!r}; {hint}", file=sys.stderr)
        return 2
    os.execv(sys.executable, [sys.executable, "-m", target[0].replace("-", "_"), *target[1:]])


if __name__ == "__main__":
    sys.exit(main())
