"""A query's documents: candidates that pass, read from the corpus and written as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from podium_contracts.search import SearchRequest

from podium_retrieval.batching.worker import Candidates
from podium_retrieval.errors import Refusal
from podium_retrieval.index.candidates import Filter
from podium_retrieval.index.corpus import BadDocument, Corpus


@dataclass(frozen=True, slots=True)
class Found:
    """A query's documents as JSON, best first, and what the worker measured (None from the cache)."""

    documents: Sequence[bytes]
    candidates: Candidates | None = None


class Documents:
    """The corpus behind a filter. allowed: for each eid the ids that its candidates are cut to; None: no such cut."""

    def __init__(self, corpus: Corpus, filter: Filter, allowed: Mapping[str, frozenset[str]] | None = None) -> None:
        self._corpus = corpus
        self._filter = filter
        self._allowed = allowed

    def allowed_ids(self, eid: str | None) -> frozenset[str] | None:
        """The ids that a question may see; None for all.

        Raises:
            Refusal: bad_request, for an eid that is not listed.
        """
        if self._allowed is None or eid is None:
            return None
        try:
            return self._allowed[eid]
        except KeyError:
            raise Refusal("bad_request", f"'eid' {eid} is not in EXAMPLE_IDS_FILE") from None

    def find(self, candidates: Candidates, request: SearchRequest, allowed: frozenset[str] | None) -> Found:
        """The best topk candidates that pass.

        Raises:
            Refusal: document_failed, for one that cannot be read.
        """
        try:
            kept = self._filter.select(candidates.scores, candidates.rows, self._corpus, request.topk, allowed)
        except BadDocument as error:
            raise Refusal("document_failed", str(error)) from error
        if request.return_scores:
            return Found([orjson.dumps({"document": document, "score": score}) for document, score in kept], candidates)
        return Found([orjson.dumps(document) for document, _ in kept], candidates)

    def close(self) -> None:
        """Close the corpus."""
        self._corpus.close()
