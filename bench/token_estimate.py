"""The estimate of tokens over the real count, for kinds of text and real tokenizers.

Run: python bench/token_estimate.py NAME=FILE …
FILE is a tokenizer.json, or a .tiktoken file of ranks (split as Qwen's tokenizer splits; needs tiktoken).
"""

import argparse
import base64
import random
from collections.abc import Callable
from pathlib import Path

from podium_eval.models.tokens import EstimateCounter, TokenizerCounter

ROOT = Path(__file__).parents[1]
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|\s?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def texts() -> dict[str, str]:
    """Prose, code and what a science exam may hold, down to text that no tokenizer knows words of."""
    random.seed(1)

    def drawn(letters: str, n: int = 20_000) -> str:
        return "".join(random.choice(letters) for _ in range(n))

    return {
        "English prose": (ROOT / "LICENSE").read_text(),
        "Python": (ROOT / "eval/podium_eval/models/openai/chat.py").read_text(),
        "LaTeX": r"\frac{\partial^2 u}{\partial t^2}=c^2\nabla^2 u,\quad \int_0^\infty e^{-x^2}\,dx " * 200,
        "SMILES": "CC(=O)Oc1ccccc1C(=O)O.CN1C=NC2=C1C(=O)N(C(=O)N2C)C " * 200,
        "table of numbers": "| 1.234 | 5.678e-9 | abc | -0.01 |\n" * 300,
        "digits": drawn("0123456789"),
        "protein": drawn("ACDEFGHIKLMNPQRSTVWY"),
        "DNA": drawn("ACGT"),
        "random letters": drawn("abcdefghijklmnopqrstuvwxyz"),
        "hexadecimal": random.randbytes(10_000).hex(),
        "base64": base64.b64encode(random.randbytes(15_000)).decode(),
        "Russian": "Квантовая механика описывает природу в масштабе атомов. " * 200,
        "Arabic": "ميكانيكا الكم هي مجموعة من النظريات الفيزيائية " * 200,
        "Chinese": "量子力学是描述微观物质的理论。" * 200,
        "rare Chinese characters": "".join(chr(random.randint(0x4E00, 0x9FFF)) for _ in range(5000)),
        "signs of mathematics": "∀x∈ℝ ∃y∈ℂ: α·β≤γ∧δ≠ε ⇒ ∫ψ*φ dτ = ⟨ψ|φ⟩ " * 200,
        "emoji": "😀🎉🚀👩‍🔬🧪" * 500,
    }


def counter(path: Path) -> Callable[[str], int]:
    """The real count of a text by the tokenizer in `path`."""
    if path.suffix == ".json":
        return TokenizerCounter.load(path).count
    import tiktoken
    from tiktoken.load import load_tiktoken_bpe

    encoding = tiktoken.Encoding(
        path.stem, pat_str=QWEN, mergeable_ranks=load_tiktoken_bpe(str(path)), special_tokens={}
    )
    return lambda text: len(encoding.encode(text, disallowed_special=()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizers", nargs="+", metavar="NAME=FILE")
    named = [one.partition("=") for one in parser.parse_args().tokenizers]
    counters = {name: counter(Path(file)) for name, _, file in named}
    print(f"| text | {' | '.join(counters)} |\n|---|{'---:|' * len(counters)}")
    for kind, text in texts().items():
        estimate = EstimateCounter().count(text)
        print(f"| {kind} | {' | '.join(f'{estimate / count(text):.2f}' for count in counters.values())} |")


if __name__ == "__main__":
    main()
