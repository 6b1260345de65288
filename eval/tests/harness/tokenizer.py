"""A small real tokenizer for tests."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers


def byte_level_tokenizer() -> Tokenizer:
    """A small byte-level BPE of our own, trained here: harsher than a real one, which knows more words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    words = "the quick brown fox jumps over the lazy dog and so on, again and again. " * 50
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([words], trainer)
    return tokenizer
