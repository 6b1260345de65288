"""Programs that misbehave: each ends within its limits, its author is told, and nothing else notices."""

import concurrent.futures
import os
import time
from pathlib import Path
from typing import Any

import pytest

Sandbox = Any  # conftest's Service

SAFE = {
    "PATH",
    "LANG",
    "TZ",
    "HOME",
    "TMPDIR",
    "PYTHONHASHSEED",
    "PYTHONDONTWRITEBYTECODE",
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "MALLOC_ARENA_MAX",
    "MPLBACKEND",
}


def namespaced(sandbox: Sandbox) -> bool:
    return sandbox.health()["walls"]["namespaces"] is not None


def test_the_environment_is_the_safe_minimum(sandbox: Sandbox):
    answer = sandbox.run("import os\nprint(sorted(os.environ))\nprint(open('/proc/self/environ').read())")
    assert set(eval(answer["stdout"].splitlines()[0])) == SAFE
    assert "sk-do-not-leak" not in answer["stdout"] + answer["stderr"]


def test_no_socket_opens(sandbox: Sandbox):
    port = sandbox.url.rpartition(":")[2]
    answer = sandbox.run(
        "import socket, urllib.request\n"
        "for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):\n"
        "    try:\n        socket.socket(family)\n        print('opened', family)\n"
        "    except OSError as error:\n        print(type(error).__name__)\n"
        f"urllib.request.urlopen('http://127.0.0.1:{port}/health', timeout=2)\n"
    )
    assert answer["stdout"] == "PermissionError\n" * 4
    assert answer["status"] == "error"
    assert "Operation not permitted" in answer["stderr"]


def test_the_services_files_and_processes_cannot_be_read(sandbox: Sandbox, tmp_path: Path):
    secret = tmp_path / "secret.env"
    secret.write_text("KEY=sk-do-not-leak")
    targets = [str(secret), str(sandbox.scratch), "/etc/passwd", "/etc/shadow", __file__]
    targets += [f"/proc/{pid}/environ" for pid in (*sandbox.pids, os.getpid())]
    answer = sandbox.run(
        f"import os\nfor path in {targets!r}:\n"
        "    try:\n        print('READ', path, os.listdir(path) if os.path.isdir(path) else open(path).read())\n"
        "    except OSError as error:\n        print(type(error).__name__)\n"
    )
    assert answer["status"] == "ok", answer["stderr"]
    assert "READ" not in answer["stdout"]
    assert len(answer["stdout"].splitlines()) == len(targets)


def test_the_file_system_outside_scratch_cannot_be_written(sandbox: Sandbox):
    answer = sandbox.run(
        "import os, sys\n"
        "library = os.path.dirname(os.__file__)\n"
        "for path in ('/x', '/usr/x', '/etc/x', library + '/x', '/dev/x', '/proc/self/oom_score_adj'):\n"
        "    try:\n        open(path, 'w')\n        print('WROTE', path)\n"
        "    except OSError as error:\n        print('refused')\n"
    )
    assert answer["stdout"] == "refused\n" * 6


def test_other_programs_scratch_cannot_be_found(sandbox: Sandbox):
    holder = "import time\nopen('marker-of-another', 'w').write('mine')\nprint('there', flush=True)\ntime.sleep(1)"
    seeker = (
        "import os\nfound = [name for top in ('/scratch', '/tmp', '/dev/shm', '/proc', "
        f"{str(sandbox.scratch)!r}) for _, _, names in os.walk(top) for name in names if name == 'marker-of-another']\n"
        "print(found)\n"
    )
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(sandbox.run, holder)
        second = sandbox.run(seeker)
        assert first.result()["stdout"] == "there\n"
    assert second["stdout"] == "[]\n"


def test_a_fork_bomb_ends_at_its_wall_time(sandbox: Sandbox):
    answer = sandbox.run(
        "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n", timeout_s=1
    )
    assert answer["status"] in ("timeout", "killed")
    assert answer["exit_code"] is None
    assert "[sandbox] Stopped: " in answer["stderr"]


def test_starting_too_many_processes_is_refused_or_ends_the_program(sandbox: Sandbox):
    answer = sandbox.run(
        "import os, time\nfor _ in range(100):\n    if os.fork() == 0:\n        time.sleep(20)\n", timeout_s=10
    )
    assert answer["status"] in ("error", "killed")
    assert "Error" in answer["stderr"] or "more processes and threads than its limit of 16" in answer["stderr"]


def test_a_thread_bomb_ends(sandbox: Sandbox):
    answer = sandbox.run(
        "import threading, time\nwhile True:\n"
        "    threading.Thread(target=time.sleep, args=(20,), daemon=True).start()\n",
        timeout_s=10,
    )
    assert answer["status"] in ("error", "killed")
    assert "can't start new thread" in answer["stderr"] or "processes and threads" in answer["stderr"]


@pytest.mark.parametrize(
    "code",
    [
        "x = bytearray(10 << 30)",
        "import numpy as np\nnp.ones((10 << 30) // 8)",
        "x = []\nwhile True:\n    x.append(bytearray(8 << 20))",
    ],
)
def test_ten_gigabytes_of_memory_are_refused(sandbox: Sandbox, code: str):
    answer = sandbox.run(code)
    assert answer["status"] == "memory"
    assert "MemoryError" in answer["stderr"]
    assert "[sandbox] Stopped: it needed more memory than its limit of 384 MiB." in answer["stderr"]


def test_a_caught_memory_error_is_the_programs_own_matter(sandbox: Sandbox):
    answer = sandbox.run("try:\n    bytearray(10 << 30)\nexcept MemoryError:\n    print('smaller then')\n")
    assert (answer["status"], answer["stdout"]) == ("ok", "smaller then\n")


def test_shared_memory_counts(sandbox: Sandbox):
    answer = sandbox.run(
        "import mmap\nkept = []\nwhile True:\n    m = mmap.mmap(-1, 32 << 20)\n"
        "    for at in range(0, 32 << 20, 4096):\n        m[at] = 1\n    kept.append(m)\n"
    )
    assert answer["status"] in ("memory", "error")
    assert "more memory" in answer["stderr"] or "Cannot allocate memory" in answer["stderr"]


def test_the_memory_of_all_processes_counts_together(sandbox: Sandbox):
    if not namespaced(sandbox):
        pytest.skip("programs are one process here")
    answer = sandbox.run(
        "import os, time\nfor _ in range(5):\n"
        "    if os.fork() == 0:\n        x = bytearray(200 << 20)\n        time.sleep(20)\n"
        "time.sleep(20)\n"
    )
    assert answer["status"] == "memory"


def test_one_large_file_is_refused(sandbox: Sandbox):
    answer = sandbox.run(
        "with open('big', 'wb') as f:\n    for _ in range(10 << 10):\n        f.write(bytes(1 << 20))\n"
    )
    assert (answer["status"], answer["exit_code"]) == ("error", 1)
    assert "File too large" in answer["stderr"]


def test_many_files_are_refused_or_end_the_program(sandbox: Sandbox):
    answer = sandbox.run(
        "import itertools, time\nfor n in itertools.count():\n    open(f'f{n}', 'wb').write(bytes(1 << 20))\n"
        "    time.sleep(0.01)\n"
    )
    assert answer["status"] in ("error", "killed")
    assert "No space left" in answer["stderr"] or "its files took more than their limit of 8 MiB" in answer["stderr"]


def test_endless_empty_files_are_bounded(sandbox: Sandbox):
    answer = sandbox.run("import itertools\nfor n in itertools.count():\n    open(f'f{n}', 'w').close()\n")
    assert answer["status"] in ("error", "killed")


def test_scratch_is_removed_whatever_a_program_made_of_it(sandbox: Sandbox):
    answer = sandbox.run(
        "import os\nos.makedirs('a/b')\nopen('a/b/c', 'w').close()\nos.chmod('a/b', 0)\nos.chmod('a', 0)\n"
        "for _ in range(1500):\n    os.mkdir('deep')\n    os.chdir('deep')\nprint('made')\n"
    )
    assert answer["stdout"] == "made\n", answer["stderr"]


def test_a_long_sleep_ends_at_the_limit_with_output(sandbox: Sandbox):
    begun = time.monotonic()
    answer = sandbox.run("import time\nprint('so far')\ntime.sleep(3600)\n", timeout_s=0.5)
    assert time.monotonic() - begun < 5
    assert answer["status"] == "timeout"
    assert answer["exit_code"] is None
    assert answer["stdout"] == "so far\n"
    assert answer["stderr"] == "[sandbox] Stopped: it ran longer than its limit of 0.5 s.\n"
    assert 500 <= answer["duration_ms"] < 3000


def test_signals_and_handlers_do_not_prolong_a_program(sandbox: Sandbox):
    answer = sandbox.run(
        "import signal, time\n"
        "for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:\n"
        "    signal.signal(number, signal.SIG_IGN)\n"
        "while True:\n    try:\n        time.sleep(3600)\n    except BaseException:\n        pass\n",
        timeout_s=0.5,
    )
    assert answer["status"] == "timeout"


def test_endless_output_ends_the_program_in_bounded_memory(sandbox: Sandbox):
    answer = sandbox.run("while True:\n    print('x' * 1000)\n")
    assert answer["status"] == "output_limit"
    assert answer["truncated"] is True
    assert "it printed more than its limit of 2 MiB" in answer["stderr"]
    assert len(answer["stdout"]) < 5000


def test_long_output_keeps_its_beginning_and_end(sandbox: Sandbox):
    answer = sandbox.run("for n in range(10000):\n    print(n)\n")
    assert answer["status"] == "ok"
    assert answer["truncated"] is True
    assert answer["stdout"].startswith("0\n1\n2\n")
    assert answer["stdout"].endswith("9998\n9999\n")
    assert "bytes of output left out" in answer["stdout"]


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess\nsubprocess.Popen(['sleep', '3598'], start_new_session=True)\nprint('gone')\n",
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(3598)\n"
        "    os._exit(0)\nprint('gone')\n",
    ],
)
def test_a_daemon_does_not_survive(sandbox: Sandbox, code: str):
    answer = sandbox.run(code)
    if namespaced(sandbox):
        assert answer["stdout"] == "gone\n", answer["stderr"]
    else:
        assert "Operation not permitted" in answer["stderr"]
    commands = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists()]
    assert b"sleep\x003598\x00" not in commands


def test_the_service_and_the_reapers_cannot_be_signalled(sandbox: Sandbox):
    pids = [*sandbox.pids, 1, -sandbox.pids[-1]]
    answer = sandbox.run(
        f"import os, signal\nfor pid in (os.getppid(), *{pids!r}):\n"
        "    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP):\n"
        "        try:\n            if os.getpid() != pid:\n                os.kill(pid, number)\n"
        "        except OSError:\n            pass\n"
        "print('done')\n"
        "try:\n    os.kill(-1, signal.SIGKILL)\nexcept OSError:\n    pass\nprint('alive')\n"
    )
    assert answer["stdout"] == "done\nalive\n", answer


def test_the_kernel_would_end_programs_first_when_memory_runs_out(sandbox: Sandbox):
    if not namespaced(sandbox):
        pytest.skip("programs see no /proc here")
    answer = sandbox.run("print(open('/proc/self/oom_score_adj').read())")
    assert answer["stdout"] == "1000\n\n", answer["stderr"]


def test_a_program_can_end_itself_by_signal(sandbox: Sandbox):
    killed = sandbox.run("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert (killed["status"], killed["exit_code"]) == ("killed", -9)
    aborted = sandbox.run("import os\nos.abort()\n")
    assert (aborted["status"], aborted["exit_code"]) == ("error", -6)
    assert "The program ended by SIGABRT" in aborted["stderr"]


def test_deep_recursion_is_an_error_with_a_short_traceback(sandbox: Sandbox):
    answer = sandbox.run("def f(n):\n    return f(n + 1)\nf(0)\n")
    assert (answer["status"], answer["exit_code"]) == ("error", 1)
    assert "RecursionError" in answer["stderr"]
    assert answer["truncated"] is False


def test_running_out_of_stack_is_an_error_that_says_so(sandbox: Sandbox):
    # In a thread with a small stack: from 3.12 on Python counts calls through C and stops short of a whole stack's end.
    answer = sandbox.run(
        "import ctypes, sys, threading\n"
        "callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)\n"
        "sys.setrecursionlimit(10**7)\n"
        "@callback\ndef f(n):\n    return f(n + 1)\n"
        "threading.stack_size(1 << 15)\n"
        "thread = threading.Thread(target=f, args=(0,))\nthread.start()\nthread.join()\n"
    )
    assert (answer["status"], answer["exit_code"]) == ("error", -11)
    assert "SIGSEGV: often recursion too deep" in answer["stderr"]


def test_kernel_back_doors_are_closed(sandbox: Sandbox):
    answer = sandbox.run(
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "calls = {'unshare': lambda: libc.unshare(0x10000000), 'ptrace': lambda: libc.ptrace(16, os.getppid(), 0, 0),\n"
        "  'mount': lambda: libc.mount(b'none', b'/scratch', b'tmpfs', 0, None), 'chroot': lambda: libc.chroot(b'.'),\n"
        "  'memfd': lambda: libc.memfd_create(b'x', 0), 'shmget': lambda: libc.shmget(0, 4096, 0o1600),\n"
        "  'keyctl': lambda: libc.syscall(250, 0, 0), 'bpf': lambda: libc.syscall(321, 0, 0, 0)}\n"
        "for name, call in calls.items():\n    result = call()\n    print(name, result, ctypes.get_errno())\n"
    )
    assert answer["status"] == "ok", answer["stderr"]
    assert [line.split()[1:] for line in answer["stdout"].splitlines()] == [["-1", "1"]] * 8


def test_answers_cannot_be_forged_through_open_descriptors(sandbox: Sandbox):
    answer = sandbox.run(
        "import os\nfor number in range(3, 100):\n"
        "    try:\n        os.write(number, b'reaper: OSError: not true\\n[\"Exited\"]')\n"
        "    except OSError:\n        pass\n"
        "print('honest')\n"
    )
    assert (answer["status"], answer["stdout"]) == ("ok", "honest\n")


def test_flooding_the_notes_descriptor_ends_the_program(sandbox: Sandbox):
    answer = sandbox.run("import os\nwhile True:\n    os.write(3, b'x' * 65536)\n", timeout_s=20)
    assert answer["status"] == "output_limit"
