"""What forking from a loaded process saves: programs over HTTP against a fresh interpreter with the same imports.

python services/sandbox/bench_startup.py [--url http://127.0.0.1:1402] [-n 100] [--at-once 8]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

IMPORTS = (
    "import numpy, scipy.special, scipy.linalg, scipy.optimize, scipy.integrate, scipy.stats, sympy, pandas, "
    "matplotlib.pyplot; print(1)"
)
PROGRAMS = {
    "print(1)": "print(1)",
    "numpy, sympy": "import numpy, sympy; print(1)",
    "pandas": "import pandas as pd; pd.DataFrame({'a': [1, 2]}).groupby('a').size(); print(1)",
    "matplotlib": "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.savefig('a.png'); print(1)",
}


def over_http(url: str, code: str = "print(1)") -> float:
    """Seconds of one run."""
    body = json.dumps({"code": code}).encode()
    request = urllib.request.Request(f"{url}/run", body, {"Content-Type": "application/json"})
    begun = time.monotonic()
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
    assert answer["stdout"] == "1\n", answer
    return time.monotonic() - begun


def fresh() -> float:
    begun = time.monotonic()
    subprocess.run([sys.executable, "-I", "-c", IMPORTS], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begun


def row(name: str, seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p90 = ordered[int(0.9 * (len(ordered) - 1))]
    return f"{name:28} n {len(ordered):4}  p50 {1000 * statistics.median(ordered):7.1f} ms  p90 {1000 * p90:7.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:1402")
    parser.add_argument("-n", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=8)
    arguments = parser.parse_args()
    with urllib.request.urlopen(f"{arguments.url}/health", timeout=10) as response:
        walls = json.load(response)["walls"]
    print(f"walls: namespaces {walls['namespaces']}, Landlock {walls['landlock']}, seccomp {walls['seccomp']}")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    over_http(arguments.url)
    for name, code in PROGRAMS.items():
        print(row(name, [over_http(arguments.url, code) for _ in range(arguments.n)]))
    begun = time.monotonic()
    with ThreadPoolExecutor(arguments.at_once) as pool:
        list(pool.map(lambda _: over_http(arguments.url), range(arguments.n)))
    print(f"{f'{arguments.at_once} clients at once':28} {arguments.n / (time.monotonic() - begun):.1f} runs/s")
    print(row("fresh interpreter", [fresh() for _ in range(5)]))


if __name__ == "__main__":
    main()
