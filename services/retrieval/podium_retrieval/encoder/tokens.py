"""The model's tokenizer: a copy of our own, checked to tell texts apart."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Iterator
from typing import Any, Final

from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from podium_retrieval.errors import StartError

_PROBES: Final = (
    ("the red bird sings", "a cold river runs"),
    ("der rote Vogel singt", "ein kalter Fluss friert"),
    ("красная птица поёт", "холодная река течёт"),
    ("红色的鸟在唱歌", "寒冷的河在流淌"),
    ("赤い鳥が歌う", "冷たい川が流れる"),
    ("빨간 새가 노래한다", "차가운 강이 흐른다"),
    ("الطائر الأحمر يغني", "النهر البارد يجري"),
    ("लाल पक्षी गाता है", "ठंडी नदी बहती है"),
    ("το κόκκινο πουλί", "το κρύο ποτάμι"),
    ("הציפור האדומה שרה", "הנהר הקר זורם"),
    ("นกสีแดงร้องเพลง", "แม่น้ำเย็นไหล"),
)
"""Two texts a language: a model need not know more than one of them."""
_OWN_WORDS: Final = 8


def own_tokenizer(model: SentenceTransformer, limit: int, name: str) -> Tokenizer:
    """A copy of the model's tokenizer, so that cutting to `limit` tokens here changes nothing there.

    Raises:
        StartError: there is none, or one that gives all texts the same tokens.
    """
    theirs: Any = model.tokenizer
    if not getattr(theirs, "is_fast", False):
        raise StartError(f"EMBEDDING_MODEL={name} has no fast tokenizer (tokenizer.json)")
    copy = Tokenizer.from_str(theirs.backend_tokenizer.to_str())
    copy.no_padding()
    copy.enable_truncation(limit)
    unknown = getattr(theirs, "unk_token_id", None)
    unknown = -1 if unknown is None else int(unknown)
    if not any(_tells_apart(copy, unknown, *pair) for pair in _pairs(copy)):
        raise StartError(
            f"EMBEDDING_MODEL={name} has a tokenizer that gives different texts the same or unknown tokens, as one "
            "without its vocabulary does: put the model's tokenizer files (tokenizer.json) into its folder"
        )
    return copy


def _pairs(tokenizer: Tokenizer) -> Iterator[tuple[str, str]]:
    yield from _PROBES
    # A language or a notation that is not among the probes: words of the vocabulary itself, special ones left out.
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    words = sorted(set(tokenizer.get_vocab(with_added_tokens=False)) - special)
    if len(words) >= 2 * _OWN_WORDS:
        yield " ".join(words[:_OWN_WORDS]), " ".join(words[-_OWN_WORDS:])


def _tells_apart(tokenizer: Tokenizer, unknown: int, first: str, second: str) -> bool:
    """Whether two texts have different tokens, of which at least half are known."""
    one, other = (tokenizer.encode(text, add_special_tokens=False).ids for text in (first, second))
    return one != other and all(ids and 2 * ids.count(unknown) <= len(ids) for ids in (one, other))
