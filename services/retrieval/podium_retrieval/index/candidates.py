"""From FAISS's candidates to the documents of an answer: allowed ids, score, length, topk."""
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from podium_retrieval.errors import StartError
from podium_retrieval.index.corpus import Corpus, text_of


@dataclass(frozen=True, slots=True)
class Filter:
    """What a candidate must be: in the allowed set if there is one, score and length above the limits."""

    min_score: float
    min_content_chars: int

    def select(
        self,
        scores: npt.NDArray[np.float32],
        rows: npt.NDArray[np.int64],
        corpus: Corpus,
        topk: int,
        allowed: frozenset[str] | None,
    ) -> list[tuple[dict[str, Any], float]]:
        """The best `topk` documents that pass, with their scores, best first.

        scores, rows: [k], best first, as FAISS gives them; row -1 means that FAISS found no more. Documents are read
        only until `topk` have passed.

        Raises:
            BadDocument: a candidate's line in the corpus is broken.
        """
        kept: list[tuple[dict[str, Any], float]] = []
        for index in range(len(rows)):  # seldom far: converting all thousand would cost more than the rest
            score, row = float(scores[index]), int(rows[index])
            if len(kept) == topk or row < 0 or score <= self.min_score:
                break
            document = corpus.document(row)
            if allowed is not None and str(document.get("id", row)) not in allowed:
                continue
            if len(text_of(document) or "") > self.min_content_chars:
                kept.append((document, score))
        return kept


def load_allowed_ids(path: Path) -> dict[str, frozenset[str]]:
    """eid -> ids of the documents that this question may see.

    Raises:
        StartError: the file is missing or of another shape.
    """
    try:
        table: Any = orjson.loads(path.read_bytes())
    except OSError as error:
        raise StartError(f"EXAMPLE_IDS_FILE={path} cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise StartError(f"EXAMPLE_IDS_FILE={path} is no JSON: {error}") from error
    if not isinstance(table, dict):
        raise StartError(f"EXAMPLE_IDS_FILE={path} must be a JSON object: eid -> list of document ids")
    allowed: dict[str, frozenset[str]] = {}
    rows: dict[str, Any] = table
    for eid, ids in rows.items():
        if not isinstance(ids, list):
            raise StartError(f"EXAMPLE_IDS_FILE={path}: the value of {eid!r} is no list of document ids")
        allowed[eid] = frozenset(str(document_id) for document_id in ids)
    return allowed
