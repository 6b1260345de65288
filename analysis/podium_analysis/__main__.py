"""Analyse a run: report, compare, gate, export and trace. `podium-analysis COMMAND -h` lists a command's options."""

import argparse
import gc
import importlib
import io
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final, NoReturn

# No command multiplies matrices: numpy's and scipy's OpenBLAS would each start threads that spin while DuckDB reads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# numpy sorts with AVX-512 where it can, which takes AMD's Zen 4 several times as long as AVX2 (x86-simd-sort, issue 6);
# other processors lose little. The second name is that of later versions; one that is unknown is ignored.
os.environ.setdefault("NPY_DISABLE_CPU_FEATURES", "AVX512F X86_V4")

COMMANDS: Final = {
    "report": "podium_analysis.pipeline",
    "compare": "podium_analysis.compare.compare",
    "gate": "podium_analysis.compare.gate",
    "list": "podium_analysis.load.run_list",
    "export": "podium_analysis.export.frames",
    "trace": "podium_analysis.export.trace",
    "export-otel": "podium_analysis.export.otel",
    "export-inspect": "podium_analysis.export.inspect_log",
}
"""Command -> module with register(subparsers), which sets `handler`: namespace -> exit status."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; with none, `report` of the latest run. Returns its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments:
        arguments = ["report"]
    parser = argparse.ArgumentParser(prog="podium-analysis", description=__doc__)
    parser.add_argument("--version", action="version", version=f"podium-analysis {version('podium-analysis')}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # Only the named command's module is loaded: the others bring libraries that it does not need.
    wanted = [arguments[0]] if arguments[0] in COMMANDS else list(COMMANDS)
    for name in wanted:
        importlib.import_module(COMMANDS[name]).register(subparsers)
    options = parser.parse_args(arguments)
    return int(options.handler(options))


class _OpenEnded(io.FileIO):
    """Standard output that takes what nobody reads any more."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def run_command() -> NoReturn:
    """main as a process. What went well ends without taking the interpreter and its memory apart object by object."""
    gc.set_threshold(50_000)  # imports and results stay: looking for garbage among them every 700 objects finds none
    # With `| head` the reader goes before the end: what is left is written nowhere, and the work is done all the same.
    out = io.BufferedWriter(_OpenEnded(sys.stdout.fileno(), "wb", closefd=False))
    sys.stdout = io.TextIOWrapper(out, sys.stdout.encoding, sys.stdout.errors, line_buffering=sys.stdout.isatty())
    status = main()
    if status:
        sys.exit(status)  # drawing processes may still be there to be waited for
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    run_command()
