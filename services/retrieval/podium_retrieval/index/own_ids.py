"""Indexes whose vectors carry ids of their own: which corpus row each id stands for."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from podium_retrieval.index.corpus import Corpus

Rows = npt.NDArray[np.int64]


def layers(index: Any) -> Iterator[Any]:
    """The index and what it wraps, from the outside in: IDMap, a transform, a refining index."""
    while index is not None:
        index = faiss.downcast_index(index)
        yield index
        inner = getattr(index, "base_index", None)
        index = inner if inner is not None else getattr(index, "index", None)


def ids_of(index: Any) -> Rows | None:
    """The id of each vector, in the index' own order; None where FAISS numbered them itself, as 0, 1, 2 …

    An IVF index keeps its ids list by list: whether it numbered them itself shows in their set alone.
    """
    for layer in layers(index):
        if hasattr(layer, "id_map"):
            ids = faiss.vector_to_array(layer.id_map).astype(np.int64)
            return None if np.array_equal(ids, np.arange(len(ids))) else ids
        if hasattr(layer, "invlists") and layer.invlists is not None:
            return _of_lists(layer)
    return None


def are_rows(ids: Rows, count: int) -> bool:
    """Whether the ids may be rows: each row's number once."""
    return len(ids) == count and bool(np.array_equal(np.sort(ids), np.arange(count)))


def _of_lists(layer: Any) -> Rows:
    parts: list[Rows] = []
    for number in range(int(layer.nlist)):
        size = int(layer.invlists.list_size(number))
        if size:
            pointer = layer.invlists.get_ids(number)
            parts.append(faiss.rev_swig_ptr(pointer, size).astype(np.int64))
            layer.invlists.release_ids(number, pointer)
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


class IdRows:
    """Rows by id, for the corpus' own `id` field."""

    def __init__(self, ids: Rows, rows: Rows) -> None:
        order = np.argsort(ids)
        self._ids, self._rows = ids[order], rows[order]

    def of(self, ids: Rows) -> Rows:
        """The row of each id; -1 stays."""
        places = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        return np.where(ids < 0, ids, self._rows[places])


def by_id_field(corpus: Corpus, ids: Rows) -> IdRows | None:
    """Rows by the whole numbers in the documents' `id` fields; None unless every id of the index is one's."""
    rows_by_id: dict[int, int] = {}
    for row in range(len(corpus)):
        number = number_of(corpus.document(row).get("id"))
        if number is not None:
            rows_by_id.setdefault(number, row)
    rows = np.array([rows_by_id.get(int(document_id), -1) for document_id in ids], np.int64)
    return None if len(ids) == 0 or (rows < 0).any() else IdRows(ids, rows)


def number_of(value: Any) -> int | None:
    """An `id` field as a whole number; None when it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19 else None
