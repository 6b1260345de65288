"""Every setting of the service and of build-index, read once from environment and flags at the edge."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def _blank_is_unset(value: Any) -> Any:
    """`NAME=` in an env file means: not set."""
    return None if isinstance(value, str) and not value.strip() else value


def _sendable(value: SecretStr | None) -> SecretStr | None:
    """A key without blanks and line ends around it, which files and shells leave there; no header carries others."""
    if value is None:
        return None
    key = value.get_secret_value().strip()
    if not all("!" <= character <= "~" for character in key):
        raise ValueError("holds a blank, a line end or another character that no key has: copy the key again")
    return SecretStr(key)


Address = Annotated[str, AfterValidator(str.strip)]
OptionalPath = Annotated[Path | None, BeforeValidator(_blank_is_unset)]
OptionalStr = Annotated[str | None, BeforeValidator(_blank_is_unset)]
OptionalInt = Annotated[int | None, BeforeValidator(_blank_is_unset)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_blank_is_unset), AfterValidator(_sendable)]


_QUERY_BYTES: Final = 2048
"""Of a query in the body of search-R1's client, on average."""


class Settings(BaseSettings):
    """Field names in upper case are the environment's names."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=False,
        env_file=".env",
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    # What is served
    index_dir: OptionalPath = Field(
        None, description="Folder that holds eval.index and eval.jsonl; build-index writes both."
    )
    embedding_model: str = Field(
        "Qwen/Qwen3-Embedding-8B",
        description="Embedding model: a folder, a hub id, or `embedded` for the packaged all-MiniLM-L6-v2.",
    )
    example_ids_file: OptionalPath = Field(
        None, description="JSON object, eid -> list of document ids: a question's candidates are cut to these."
    )
    log_level: str = Field("INFO", description="DEBUG, PROFILE, USER_JUDGE, INFO, WARNING or ERROR.")

    # HTTP
    retrieval_host: str = Field("127.0.0.1", description="Address the server binds.")
    retrieval_port: int = Field(1401, ge=0, le=65535, description="Port the server binds; 0 takes a free one.")
    retrieval_response: Literal["list", "search-r1"] = Field(
        "list", description='Answer as a plain list of result lists, or as search-R1\'s {"result": …}.'
    )
    retrieval_max_body_bytes: int = Field(1 << 20, ge=1024, description="Larger request bodies get a 413.")
    retrieval_max_queries: int = Field(64, ge=1, description="More queries in one request get a 422.")
    retrieval_search_r1_queries: int = Field(
        4096,
        ge=1,
        description="The same where RETRIEVAL_RESPONSE is search-r1, whose client sends a whole rollout batch in one "
        "request; queue and body limit are then at least as large.",
    )
    retrieval_max_query_chars: int = Field(
        100_000, ge=1, description="Longer queries get a 422; shorter ones are cut by tokens."
    )
    retrieval_max_query_tokens: int = Field(
        512, ge=8, description="A query is cut to this many tokens, or to the model's own limit if that is lower."
    )
    retrieval_max_topk: int = Field(1000, ge=1, description="A larger topk gets a 422.")
    retrieval_deadline_s: float = Field(60.0, gt=0, description="A request that takes longer gets a 504.")
    retrieval_drain_s: float = Field(
        30.0, gt=0, description="After SIGTERM, requests in flight have this long to finish."
    )

    # Batching
    retrieval_mode: Literal["batch", "lock"] = Field(
        "batch", description="batch: one owner serves what waits at once. lock: one query at a time, to compare."
    )
    retrieval_wait_ms: float = Field(
        0.0, ge=0, description="Wait this long for more queries before a batch; 0 takes what is there."
    )
    retrieval_batch_queries: int = Field(256, ge=1, description="At most this many queries in a batch.")
    retrieval_batch_tokens: OptionalInt = Field(
        None, ge=1, description="At most this many tokens in a batch, padding counted; unset: measured at start."
    )
    retrieval_calibration_s: float = Field(
        10.0, gt=0, description="Time limit of the measurement at start that finds the batch budget."
    )
    retrieval_max_age_ms: float = Field(
        2000.0, ge=0, description="A query that waited longer goes first, whatever its length."
    )
    retrieval_queue_limit: int = Field(2048, ge=1, description="Queries that may wait; beyond it a 429.")
    retrieval_watchdog_s: float = Field(
        120.0, gt=0, description="/health turns 503 when one batch takes longer than this."
    )
    retrieval_cache_mib: int = Field(
        64, ge=0, description="Memory for answers to exact repetitions of a query (LRU); 0 turns the cache off."
    )

    # Encoder
    retrieval_embedder: Address = Field(
        "sentence-transformers",
        description="sentence-transformers, or the /v1 address of an OpenAI-compatible embeddings server.",
    )
    retrieval_embedder_timeout_s: float = Field(
        30.0, gt=0, description="Limit of one call to a remote embeddings server."
    )
    retrieval_embedder_api_key: OptionalSecret = Field(
        None, description="Bearer token for a remote embeddings server, where it asks for one."
    )
    retrieval_query_instruction: OptionalStr = Field(
        None, description="Text put before each query; unset: the model's own `query` prompt; `none`: no text."
    )
    retrieval_document_prompt: OptionalStr = Field(
        None,
        description="build-index: text put before each document, such as `passage: `; unset: the model's own "
        "`document` or `passage` prompt; `none`: no text.",
    )
    retrieval_device: str = Field("auto", description="auto, cpu, cuda or cuda:N, for the encoder.")
    retrieval_dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto: float16 on a GPU, bfloat16 on a CPU with bf16 instructions, else float32."
    )
    retrieval_packing: Literal["auto", "off"] = Field(
        "auto",
        description="auto: sequences are packed without padding where the model can, checked at start; off: padded.",
    )
    retrieval_cuda_graphs: bool = Field(
        True, description="On a GPU, small packed batches replay captured graphs instead of launching kernels."
    )
    retrieval_compile: bool = Field(
        False, description="torch.compile for the encoder's layers: faster batches, a start slower by a minute."
    )
    retrieval_tokenizer_threads: int = Field(
        2, ge=1, description="Threads that tokenise long queries; short ones are done where they arrive."
    )
    retrieval_threads: OptionalInt = Field(
        None, ge=1, description="CPU threads for encoder and index; unset: the cores this process may use."
    )

    # Index
    retrieval_index_device: str = Field(
        "auto", description="auto (a GPU if FAISS has one), cpu, cuda or cuda:N, for the index."
    )
    retrieval_gpu_storage: Literal["float16", "float32"] = Field(
        "float16", description="How a flat index is stored on the GPU."
    )
    retrieval_gpu_headroom_mib: int = Field(
        2048, ge=0, description="GPU memory that must stay free beside the index, for FAISS's work and the encoder's."
    )
    retrieval_cuvs: bool = Field(True, description="Let FAISS use cuVS kernels on the GPU where it was built with it.")
    retrieval_memory_map: bool = Field(True, description="Map the index file on the CPU instead of reading it.")
    retrieval_nprobe: int = Field(32, ge=1, description="Cells searched in an IVF index.")

    # Candidates
    retrieval_candidates: int = Field(1000, ge=1, le=2048, description="Candidates taken from FAISS for a query.")
    retrieval_min_score: float = Field(0.1, description="Candidates score more than this.")
    retrieval_min_content_chars: int = Field(
        100, ge=0, description="Candidates have more characters of content than this."
    )

    # Web fallback
    tavily_api_key: OptionalSecret = Field(
        None, description="With a key, too few documents are topped up from the web; without one, never."
    )
    tavily_base_url: Address = Field("https://api.tavily.com", description="Address of the Tavily API.")
    retrieval_web_below: int = Field(3, ge=1, description="Fewer documents than this ask the web.")
    retrieval_web_results: int = Field(20, ge=1, le=20, description="Web results asked for a query.")
    retrieval_web_timeout_s: float = Field(15.0, gt=0, description="Limit of web search and extraction together.")
    retrieval_web_concurrency: int = Field(16, ge=1, description="Web look-ups at once.")
    retrieval_web_max_bytes: int = Field(4 << 20, ge=1024, description="A larger answer of the web search is dropped.")
    retrieval_web_page_chars: int = Field(10_000, ge=100, description="Characters kept of one web page.")
    retrieval_web_cache_dir: OptionalPath = Field(
        None, description="Folder of the web cache; unset: web-cache in the user's cache folder for podium."
    )
    retrieval_web_cache_mib: int = Field(512, ge=1, description="Size limit of the web cache.")

    # Screening of the web
    retrieval_screen: bool = Field(True, description="Leave out web pages that give a question away.")
    retrieval_screen_mirrors: OptionalPath = Field(
        None, description="List of known copies in place of the built-in one (the form: screen/mirrors.toml)."
    )
    retrieval_screen_query: Literal["shorten", "refuse", "keep"] = Field(
        "shorten", description="A web query that quotes the question is shortened, refused, or asked as it is."
    )
    retrieval_screen_query_words: int = Field(8, ge=6, description="Quoted words that a web query may hold.")
    retrieval_screen_share: float = Field(0.5, gt=0, le=1, description="Share of a question's n-grams that is a copy.")

    # build-index
    corpus: OptionalPath = Field(None, description="build-index: the jsonl corpus to read, one document a line.")
    retrieval_index_type: Literal["flat", "ivf"] = Field("flat", description="build-index: flat (exact) or ivf.")
    retrieval_index_storage: Literal["float32", "float16"] = Field(
        "float32", description="build-index: how vectors are stored in eval.index."
    )
    retrieval_index_cells: OptionalInt = Field(
        None, ge=1, description="build-index: cells of an IVF index; unset: 4·sqrt(n), at most n/39."
    )
    retrieval_build_tokens: int = Field(16_384, ge=64, description="build-index: tokens in one forward pass.")
    retrieval_document_tokens: int = Field(
        512, ge=8, description="build-index: a document is cut to this many tokens, or to the model's limit."
    )

    @property
    def most_queries(self) -> int:
        """That one request may hold, in the shape that is answered."""
        return self.retrieval_max_queries if self._list_shape else self.retrieval_search_r1_queries

    @property
    def most_body_bytes(self) -> int:
        """Of a request; in search-R1's shape never less than its queries take."""
        needed = 0 if self._list_shape else self.retrieval_search_r1_queries * _QUERY_BYTES
        return max(self.retrieval_max_body_bytes, needed)

    @property
    def most_waiting(self) -> int:
        """Queries in the queue; in search-R1's shape never fewer than one request may hold."""
        return max(self.retrieval_queue_limit, 0 if self._list_shape else self.retrieval_search_r1_queries)

    @property
    def _list_shape(self) -> bool:
        return self.retrieval_response == "list"

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        from podium_contracts.levels import level_number

        level_number(value)
        return value.strip().upper()

    @model_validator(mode="after")
    def _fits(self) -> "Settings":
        if self.retrieval_max_topk > self.retrieval_candidates:
            raise ValueError(
                f"RETRIEVAL_MAX_TOPK={self.retrieval_max_topk} exceeds RETRIEVAL_CANDIDATES="
                f"{self.retrieval_candidates}: raise the second or lower the first"
            )
        return self
