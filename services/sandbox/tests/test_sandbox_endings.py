"""How programs end: as under the interpreter, with all that they printed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

Sandbox = Any  # conftest's Service


@pytest.mark.parametrize(
    ("code", "stdout"),
    [
        ("import sys\nprint('right')\nsys.stdout.close()\n", "right\n"),
        ("import sys\nwith sys.stdout:\n    print('right')\n", "right\n"),
        ("import sys\nprint('right')\nsys.stdout = None\n", "right\n"),
        ("import sys\nprint('right')\nsys.stdout = sys.stderr = None\n", "right\n"),
        ("import sys\nprint('right')\ndel sys.stdout\n", "right\n"),
        ("import sys\nprint('right')\nsys.stderr.close()\n", "right\n"),
        ("import io, sys\nprint('right')\nsys.stdout = io.StringIO()\nprint('lost')\n", "right\n"),
        ("import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), 'utf-8')\nprint('right')\n", "right\n"),
        ("import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'utf-8')\nprint('right')\n", "right\n"),
        ("f = open(1, 'w')\nf.write('kept')\n", "kept"),
        ("f = open(1, 'wb', closefd=False)\nf.write(b'kept')\n", "kept"),
        ("import builtins\nbuiltins.f = open(1, 'w')\nbuiltins.f.write('kept')\n", "kept"),
        ("class A:\n    f = open(1, 'w')\nA.f.write('kept')\n", "kept"),
        ("import os\nf = os.fdopen(os.dup(1), 'w')\nf.write('kept')\n", "kept"),
        ("import sys\nsys.stdout = open(1, 'w', closefd=False)\nprint('kept', end='')\n", "kept"),
        ("class A:\n    def __del__(self):\n        print('bye')\na = A()\n", "bye\n"),
        ("class A:\n    def __del__(self):\n        print(name)\nname = 'bye'\na = A()\na.me = a\n", "bye\n"),
        ("import tempfile\nclass A:\n    def __del__(self):\n        print('bye', end='')\na = [A()]\n", "bye"),
        ("import ctypes\nctypes.CDLL(None).printf(b'from C')\n", "from C"),
        ("print('no line', end='')\n", "no line"),
    ],
)
def test_right_programs_end_with_0_and_lose_nothing(sandbox: Sandbox, code: str, stdout: str):
    answer = sandbox.run(code)
    assert (answer["status"], answer["exit_code"], answer["stderr"]) == ("ok", 0, "")
    assert answer["stdout"] == stdout


@pytest.mark.parametrize(
    ("code", "exit_code", "stdout", "stderr"),
    [
        ("import os\nprint('x', end='')\nos.close(1)\n", 120, "x", ""),
        ("import sys\nsys.stdout = object()\n", 120, "", ""),
        ("import sys\nsys.stderr = None\nsys.exit('bye')\n", 1, "", ""),
        ("import sys\nsys.stderr = None\n1 / 0\n", 1, "", ""),
        ("import sys\nsys.excepthook = lambda *_: print('hooked')\n1 / 0\n", 1, "hooked\n", ""),
        ("class A:\n    def __del__(self):\n        print('bye')\na = A()\nraise SystemExit(3)\n", 3, "bye\n", ""),
        ("import atexit, sys\natexit.register(sys.exit, 9)\n", 0, "", None),
    ],
)
def test_other_endings_are_the_interpreters_too(
    sandbox: Sandbox, code: str, exit_code: int, stdout: str, stderr: str | None
):
    answer = sandbox.run(code)
    assert (answer["exit_code"], answer["stdout"]) == (exit_code, stdout)
    assert stderr is None or answer["stderr"] == stderr


@pytest.mark.parametrize("end", ["time.sleep(60)", "while True: pass", "os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_words_without_a_line_end_survive_a_stop(sandbox: Sandbox, end: str):
    code = f"import os, sys, time\nprint('so far', end='')\nsys.stderr.buffer.write(b'and so')\n{end}\n"
    answer = sandbox.run(code, timeout_s=0.5)
    assert answer["stdout"] == "so far"
    assert answer["stderr"].startswith("and so")


def test_pieces_are_printed_once_and_in_order(sandbox: Sandbox):
    answer = sandbox.run(
        "import sys\nfor n in range(300):\n    print(n, end='x' * (n % 40))\n    sys.stdout.buffer.write(b'|')\n"
        "sys.stdout.buffer.write(b'y' * 9000)\nprint('z', end='')\n"
    )
    expected = "".join(f"{n}{'x' * (n % 40)}|" for n in range(300)) + "y" * 9000 + "z"
    assert answer["stdout"][:2000] == expected[:2000]
    assert answer["stdout"][-2000:] == expected[-2000:]
    assert f"{len(expected) - 4096} bytes of output left out" in answer["stdout"]


def test_lines_of_threads_do_not_mix(sandbox: Sandbox):
    answer = sandbox.run(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as pool:\n    list(pool.map(lambda n: print('line', n % 10), range(400)))\n"
    )
    assert set(answer["stdout"].splitlines()) == {f"line {n}" for n in range(10)}


def test_an_ending_that_never_ends_meets_the_limit(sandbox: Sandbox):
    for code in (
        "class A:\n    def __del__(self):\n        while True: pass\na = A()\n",
        "import atexit, time\natexit.register(time.sleep, 60)\n",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n",
    ):
        answer = sandbox.run("print('so far', end='')\n" + code, timeout_s=0.5)
        assert (answer["status"], answer["stdout"]) == ("timeout", "so far")


def test_a_daemon_thread_at_the_end_prints_no_error(sandbox: Sandbox):
    answer = sandbox.run(
        "import threading\ncount = 0\ndef work():\n    global count\n    while True:\n        count += 1\n"
        "threading.Thread(target=work, daemon=True).start()\nprint('done')\n"
    )
    assert (answer["status"], answer["stdout"], answer["stderr"]) == ("ok", "done\n", "")


def test_the_program_is_a_file(sandbox: Sandbox):
    code = (
        "import inspect, os\ndef f():\n    return 1\nos.chdir('/')\n"
        "print(open(__file__).read() + inspect.getsource(f), end='')\n"
    )
    assert sandbox.run(code)["stdout"] == code + "def f():\n    return 1\n"


def test_spawned_processes_find_the_program(sandbox: Sandbox):
    if sandbox.health()["walls"]["namespaces"] is None:
        pytest.skip("programs are one process here")
    answer = sandbox.run(
        "import multiprocessing as mp\ndef square(n):\n    return n * n\n"
        "if __name__ == '__main__':\n    with mp.get_context('spawn').Pool(2) as pool:\n"
        "        print(pool.map(square, range(4)))\n"
    )
    assert (answer["stdout"], answer["stderr"]) == ("[0, 1, 4, 9]\n", "")


@pytest.mark.parametrize(
    "code",
    [
        "x = " + "-" * 50_000 + "1",
        "eval('-' * 50_000 + '1')",
        "import ast\nast.literal_eval('-' * 50_000 + '1')",
    ],
)
def test_a_parsers_memory_error_is_no_lack_of_memory(sandbox: Sandbox, code: str):
    answer = sandbox.run(code)
    assert (answer["status"], answer["exit_code"]) == ("error", 1)
    assert "MemoryError" in answer["stderr"]
    assert "nested too deeply" in answer["stderr"]
    assert "[sandbox]" not in answer["stderr"]


def test_memory_that_evaluated_code_lacks_is_memory(sandbox: Sandbox):
    answer = sandbox.run("eval('bytearray(10 << 30)')")
    assert answer["status"] == "memory"


def test_printing_from_a_signal_handler_within_a_print_works(sandbox: Sandbox):
    answer = sandbox.run(
        "import signal, time\nsignal.signal(signal.SIGALRM, lambda *_: print('a'))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)\nbegun = time.monotonic()\n"
        "while time.monotonic() - begun < 0.5:\n    print('b')\nsignal.setitimer(signal.ITIMER_REAL, 0)\n"
    )
    assert (answer["status"], answer["stderr"]) == ("ok", ""), answer


@pytest.mark.parametrize(
    "code", ["import os\nos.close(1)\nprint('x')\n", "import sys\nsys.stdout.buffer.raw.close()\nprint(1)\n"]
)
def test_a_print_that_fails_shows_no_frame_of_ours(sandbox: Sandbox, code: str):
    answer = sandbox.run(code)
    assert answer["status"] == "error"
    assert "Error" in answer["stderr"]
    assert "podium_sandbox" not in answer["stderr"]


def test_replaced_functions_do_not_change_the_end(sandbox: Sandbox):
    answer = sandbox.run("import gc, os\nos._exit = gc.collect = gc.get_objects = lambda *_: 1 / 0\nprint('x')\n")
    assert (answer["exit_code"], answer["stdout"], answer["stderr"]) == (0, "x\n", "")


@pytest.mark.parametrize(
    "code",
    [
        "import sys\nsys.stdout.close()\n",
        "import sys\nsys.stdout = None\n",
        "import sys\nsys.stdout = object()\n",
        "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), 'utf-8')\nprint('ä')\n",
        "import sys\nsys.stdout.detach()\n",
        "import sys\nsys.stderr.detach()\n",
        "import sys\nsys.__stdout__.detach()\nsys.stdout = None\n",
        "import sys\nsys.stderr.close()\n1 / 0\n",
        "import sys\nsys.stderr.close()\nsys.exit('bye')\n",
        "import sys\nclass S:\n    def write(self, text): pass\n    def flush(self): 1 / 0\nsys.stdout = S()\n",
        "import sys\nclass S:\n    def write(self, text): pass\n    def flush(self): 1 / 0\nsys.stderr = S()\n",
        "import sys\nsys.exit(-1)\n",
        "import sys\nsys.exit(256)\n",
        "import sys\nsys.exit(2.5)\n",
        "import sys\nsys.exit((1, 2))\n",
        "import atexit\natexit.register(lambda: 1 / 0)\n",
        "import atexit, os\natexit.register(os._exit, 5)\n",
        "import threading\nthreading.Thread(target=lambda: 1 / 0).start()\n",
        "class A:\n    def __del__(self):\n        raise SystemExit(4)\na = A()\n",
        "import signal, os\nos.kill(os.getpid(), signal.SIGTERM)\n",
    ],
)
def test_exit_codes_and_output_are_those_of_python(shared_sandbox: Sandbox, tmp_path: Path, code: str):
    (tmp_path / "program.py").write_text(code)
    python = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, stdin=subprocess.DEVNULL)
    answer = shared_sandbox.run(code)
    assert (answer["exit_code"], answer["stdout"].encode()) == (python.returncode, python.stdout)
