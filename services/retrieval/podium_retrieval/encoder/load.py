"""From settings to the encoder that they name, loaded."""

from podium_retrieval.encoder import devices
from podium_retrieval.encoder.embedder import Embedder
from podium_retrieval.encoder.remote import RemoteEmbedder
from podium_retrieval.errors import StartError
from podium_retrieval.outgoing import without_password
from podium_retrieval.settings import Settings

WHOLE_RANGE = 16_384
"""Tokens of the largest batch for which CUDA graphs are captured where no setting says."""


def load_embedder(settings: Settings) -> Embedder:
    """The encoder of the settings, loaded and warm.

    Raises:
        StartError: see the encoders' own.
    """
    instruction = _unless_none(settings.retrieval_query_instruction)
    if settings.retrieval_embedder != "sentence-transformers":
        return _remote(settings, instruction or "")
    # The import takes seconds and a remote embedder needs none of it.
    import torch

    from podium_retrieval.encoder.sentence import EncoderOptions, SentenceEmbedder

    torch.set_num_threads(settings.retrieval_threads or devices.cores())
    device = devices.resolve_device(settings.retrieval_device, "RETRIEVAL_DEVICE", gpus=devices.torch_gpus())
    return SentenceEmbedder.load(
        EncoderOptions(
            model=settings.embedding_model,
            device=device,
            dtype=devices.resolve_dtype(settings.retrieval_dtype, device),
            query_tokens=settings.retrieval_max_query_tokens,
            document_tokens=settings.retrieval_document_tokens,
            instruction=instruction,
            document_prompt=_unless_none(settings.retrieval_document_prompt),
            packing=settings.retrieval_packing == "auto",
            cuda_graphs=settings.retrieval_cuda_graphs,
            compile=settings.retrieval_compile,
            longest_batch_tokens=settings.retrieval_batch_tokens or WHOLE_RANGE,
        )
    )


def _unless_none(text: str | None) -> str | None:
    """`none` stands for no text at all, where an unset one is the model's own."""
    return "" if text == "none" else text


def _remote(settings: Settings, instruction: str) -> RemoteEmbedder:
    address = settings.retrieval_embedder
    if not address.startswith(("http://", "https://")):
        raise StartError(
            f"RETRIEVAL_EMBEDDER={without_password(address)} is neither sentence-transformers nor an address like http://host:port/v1"
        )
    key = settings.retrieval_embedder_api_key
    embedder = RemoteEmbedder(
        address,
        settings.embedding_model,
        instruction=instruction,
        document_prompt=_unless_none(settings.retrieval_document_prompt) or "",
        timeout_s=settings.retrieval_embedder_timeout_s,
        max_tokens=settings.retrieval_max_query_tokens,
        api_key=None if key is None else key.get_secret_value(),
    )
    embedder.connect()
    return embedder
