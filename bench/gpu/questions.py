"""A dataset of any size in HLE's own fields, for load: arithmetic with answers that a program can check.

python bench/gpu/questions.py OUT.jsonl [--n 512]
"""

import argparse
import json
import random
from pathlib import Path


def question(number: int) -> dict[str, str]:
    """The number-th question; the same on every machine."""
    rng = random.Random(number)
    a, b, c = rng.randint(100, 999), rng.randint(100, 999), rng.randint(2, 97)
    return {
        "id": f"load-{number:05d}",
        "question": f"Compute ({a} * {b} + {c}) mod 9973 and give the result as a whole number.",
        "image": "",
        "answer": str((a * b + c) % 9973),
        "answer_type": "exactMatch",
        "author_name": "Podium",
        "rationale": "Plain integer arithmetic.",
        "raw_subject": "Arithmetic",
        "category": "Math",
        "canary": "Podium's own load questions; nothing of HLE is in them.",
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--n", type=int, default=512)
    args = parser.parse_args()
    args.out.write_text("".join(json.dumps(question(n)) + "\n" for n in range(args.n)))
