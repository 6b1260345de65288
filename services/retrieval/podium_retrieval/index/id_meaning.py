"""What the ids of an index mean: rows of the corpus, or the documents' own `id` fields."""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from podium_retrieval.encoder.embedder import EmbedderFailed, Prepared
from podium_retrieval.errors import StartError
from podium_retrieval.index.corpus import BadDocument, Corpus, text_of
from podium_retrieval.index.faiss_index import FaissIndex
from podium_retrieval.index.own_ids import IdRows, Rows, are_rows, by_id_field, number_of


class Documents(Protocol):
    """What encodes documents as they were encoded for the index."""

    def prepare_document(self, text: str) -> Prepared: ...
    def encode(self, batch: Sequence[Prepared]) -> npt.NDArray[np.float32]: ...


_SAMPLE: Final = 16
"""Documents that are looked for, where ids may mean either."""


def rows_of(index: FaissIndex, corpus: Corpus, embedder: Documents) -> IdRows | None:
    """Rows by id; None where ids are rows. Where they may be either, a few documents are encoded and looked for.

    Raises:
        StartError: the ids are neither, or the documents that are looked for are found under neither.
    """
    ids = index.ids
    try:
        if ids is None or (are_rows(ids, len(corpus)) and _fields_are_rows(corpus)):
            return None
        by_field = by_id_field(corpus, ids)
        if are_rows(ids, len(corpus)):
            return _looked_for(index, corpus, embedder, by_field)
    except BadDocument as error:
        raise StartError(str(error)) from error
    except EmbedderFailed as error:
        raise StartError(f"{corpus.path.parent}/eval.index cannot be held against its corpus: {error}") from error
    if by_field is None:
        raise StartError(
            f"{corpus.path.parent}/eval.index gives its vectors ids of their own ({', '.join(map(str, ids[:3]))} …), "
            "and the documents' `id` fields are not these: whose a vector is cannot be told; build both again"
        )
    return by_field


def _sample(corpus: Corpus) -> list[int]:
    count = min(_SAMPLE, len(corpus))
    return [number * len(corpus) // count for number in range(count)]


def _fields_are_rows(corpus: Corpus) -> bool:
    """Whether the `id` fields number the rows too, so that both meanings are one."""
    return all(number_of(corpus.document(row).get("id")) == row for row in _sample(corpus))


def _looked_for(index: FaissIndex, corpus: Corpus, embedder: Documents, by_field: IdRows | None) -> IdRows | None:
    sample = _sample(corpus)
    texts = [embedder.prepare_document(text_of(corpus.document(row)) or "") for row in sample]
    nearest: Rows = index.search(embedder.encode(texts), 1)[1][:, 0]
    as_rows = int((nearest == np.array(sample)).sum())
    as_field = 0 if by_field is None else int((by_field.of(nearest) == np.array(sample)).sum())
    if max(as_rows, as_field) * 2 < len(sample):
        raise StartError(
            f"{corpus.path.parent}/eval.index does not find the documents of its corpus: of {len(sample)} looked for, "
            f"{as_rows} stood at their row and {as_field} at their `id`; build both again"
        )
    return by_field if as_field > as_rows else None
