"""What ordinary programs get: libraries, output, exit codes, tracebacks."""

import concurrent.futures
from typing import Any

import pytest

Sandbox = Any  # conftest's Service


def test_numpy_scipy_and_sympy_work(sandbox: Sandbox):
    answer = sandbox.run(
        "import numpy as np, sympy as sp\n"
        "from scipy import integrate, signal\n"
        "x = sp.symbols('x')\n"
        "print(sp.integrate(x**2, (x, 0, 3)), round(integrate.quad(np.sin, 0, np.pi)[0], 6))\n"
        "print(np.linalg.det(np.eye(3) * 2).round(), signal.find_peaks([0, 1, 0])[0])\n"
    )
    assert answer["stdout"] == "9 2.0\n8.0 [1]\n"
    assert answer["status"] == "ok"
    assert answer["exit_code"] == 0
    assert answer["stderr"] == ""
    assert answer["truncated"] is False
    assert answer["duration_ms"] > 0


def test_an_exception_shows_its_traceback_without_our_frames(sandbox: Sandbox):
    answer = sandbox.run("def f(n):\n    return 1 / n\n\nprint('before')\nf(0)\n")
    assert (answer["status"], answer["exit_code"]) == ("error", 1)
    assert answer["stdout"] == "before\n"
    assert "ZeroDivisionError: division by zero" in answer["stderr"]
    assert "return 1 / n" in answer["stderr"]
    assert "podium_sandbox" not in answer["stderr"]


def test_a_syntax_error_names_its_line(sandbox: Sandbox):
    answer = sandbox.run("x = 1\nprint(x\n")
    assert (answer["status"], answer["exit_code"]) == ("error", 1)
    assert "SyntaxError" in answer["stderr"]
    assert "line 2" in answer["stderr"]


@pytest.mark.parametrize(
    ("code", "exit_code", "stderr"),
    [
        ("raise SystemExit", 0, ""),
        ("import sys; sys.exit(0)", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('bye')", 1, "bye\n"),
        ("import os; os._exit(7)", 7, ""),
        ("exit(4)", 4, ""),
    ],
)
def test_exit_codes_are_the_programs_own(sandbox: Sandbox, code: str, exit_code: int, stderr: str):
    answer = sandbox.run(code)
    assert answer["exit_code"] == exit_code
    assert answer["status"] == ("ok" if exit_code == 0 else "error")
    assert answer["stderr"] == stderr


def test_bytes_that_are_no_utf8_become_replacement_characters(sandbox: Sandbox):
    answer = sandbox.run(
        "import sys\nsys.stdout.buffer.write(b'a\\xff\\x00b\\n')\nsys.stdout.flush()\nprint('\\ud800')\n"
    )
    assert answer["status"] == "ok"
    assert answer["stdout"] == "a\ufffd\x00b\n\\ud800\n"


def test_stdin_is_empty(sandbox: Sandbox):
    answer = sandbox.run("import sys\nprint(repr(sys.stdin.read()))\ninput()\n")
    assert answer["stdout"] == "''\n"
    assert "EOFError" in answer["stderr"]


def test_main_guard_threads_and_exit_functions_run(sandbox: Sandbox):
    answer = sandbox.run(
        "import atexit, threading, time, asyncio\n"
        "atexit.register(print, 'at exit')\n"
        "if __name__ == '__main__':\n"
        "    threading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()\n"
        "    asyncio.run(asyncio.sleep(0))\n"
        "    print('main')\n"
    )
    assert answer["stdout"] == "main\nthread\nat exit\n"


def test_scratch_is_writable_and_the_working_folder(sandbox: Sandbox):
    answer = sandbox.run(
        "import os, tempfile\nopen('a.txt', 'w').write('x' * 10)\n"
        "print(sorted(os.listdir('.')), os.environ['HOME'] == os.getcwd() == tempfile.gettempdir())\n"
        "open(os.devnull, 'w').write('gone')\n"
    )
    assert answer["stdout"] == "['a.txt', 'program.py'] True\n"
    assert answer["status"] == "ok", answer["stderr"]


def test_programs_share_the_hash_seed_not_random_numbers(sandbox: Sandbox):
    code = "import random, numpy as np\nprint(random.random(), np.random.rand(), hash('a'))"
    first, second = (sandbox.run(code)["stdout"].split() for _ in range(2))
    assert first[0] != second[0]
    assert first[1] != second[1]
    assert first[2] == second[2]


def test_sixty_four_at_once_each_get_their_own_answer(sandbox: Sandbox):
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda n: sandbox.run(f"open('f', 'x').write('')\nprint({n} ** 2)"), range(64)))
    assert [answer["stdout"] for answer in answers] == [f"{n**2}\n" for n in range(64)]
    assert {answer["status"] for answer in answers} == {"ok"}


def test_processes_can_be_started_with_a_pid_namespace(sandbox: Sandbox):
    answer = sandbox.run(
        "import multiprocessing as mp\n"
        "def square(n): return n * n\n"
        "if __name__ == '__main__':\n"
        "    with mp.get_context('fork').Pool(3) as pool:\n"
        "        print(pool.map(square, range(4)))\n"
    )
    if sandbox.health()["walls"]["namespaces"] is None:
        assert answer["status"] == "error"
        assert "Error" in answer["stderr"]
    else:
        assert answer["stdout"] == "[0, 1, 4, 9]\n", answer["stderr"]


def test_shared_memory_works_within_its_size(sandbox: Sandbox):
    answer = sandbox.run(
        "from multiprocessing.shared_memory import SharedMemory\n"
        "for _ in range(3):\n    one, other = (SharedMemory(create=True, size=3 << 20) for _ in range(2))\n"
        "    other.buf[:] = one.buf[:] = b'x' * (3 << 20)\n"
        "    same = SharedMemory(one.name)\n    print(bytes(same.buf[-3:]))\n    same.close()\n"
        "    for each in (one, other):\n        each.close()\n        each.unlink()\n"
    )
    if sandbox.health()["walls"]["namespaces"] is None:
        assert "PermissionError" in answer["stderr"]  # /dev/shm would be everyone's
    else:
        assert (answer["stdout"], answer["stderr"]) == ("b'xxx'\n" * 3, "")


def test_shared_memory_beyond_its_size_is_named(sandbox: Sandbox):
    if sandbox.health()["walls"]["namespaces"] is None:
        pytest.skip("there is none here")
    answer = sandbox.run(
        "from multiprocessing.shared_memory import SharedMemory\n"
        "kept = [SharedMemory(create=True, size=4 << 20) for _ in range(3)]\n"
        "for one in kept:\n    one.buf[:] = b'x' * (4 << 20)\n"
    )
    assert (answer["status"], answer["exit_code"]) == ("error", -7)
    assert "SIGBUS: often shared memory beyond the size of /dev/shm" in answer["stderr"]


def test_pandas_and_matplotlib_work(sandbox: Sandbox):
    answer = sandbox.run(
        "import pandas as pd, matplotlib.pyplot as plt\n"
        "frame = pd.DataFrame({'a': ['x', 'y', 'x'], 'b': [1, 2, 4]})\n"
        "print(frame.groupby('a').b.sum().to_dict())\n"
        "frame.plot(x='a', y='b', title='$x^2$')\nplt.savefig('a.png')\nprint(open('a.png', 'rb').read(4)[1:])\n"
    )
    assert (answer["stdout"], answer["status"]) == ("{'x': 5, 'y': 2}\nb'PNG'\n", "ok"), answer["stderr"]
    if "pandas" in sandbox.health()["versions"]:
        assert answer["stderr"] == ""
