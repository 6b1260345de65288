"""The FAISS index on a CPU or a GPU. Only its owner calls it: GPU indexes are not thread-safe even for reading."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportAttributeAccessIssue=false

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import faiss
import numpy as np
import numpy.typing as npt

from podium_retrieval.errors import StartError
from podium_retrieval.files import refuse_pointer
from podium_retrieval.index.own_ids import IdRows, ids_of, layers

GIB: Final = 1 << 30
_CHUNK: Final = 65_536
_NEVER: Final = sys.maxsize if sys.maxsize < 1 << 31 else (1 << 31) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexOptions:
    """How the index is held. device: cpu or cuda:N."""

    device: str
    memory_map: bool = True
    nprobe: int = 32
    storage: Literal["float16", "float32"] = "float16"
    headroom_bytes: int = 2 << 30
    cuvs: bool = True


class FaissIndex:
    """Inner-product search, flat or IVF."""

    def __init__(self, index: Any, kind: str, device: str, resources: Any = None, half: bool = False) -> None:
        self._index = index
        self._resources = resources  # FAISS frees GPU memory when this goes
        self.kind = kind
        self.device = device
        self.size = int(index.ntotal)
        self.dimension = int(index.d)
        self.half = kind.endswith("float16") if device == "cpu" else half
        self.rows: IdRows | None = None
        """What the index' own ids stand for; None where they are rows."""
        self.blas_from: int | None = None
        """Queries from which a flat CPU search goes through BLAS; None leaves FAISS's own choice.

        faiss-cpu 1.15 takes BLAS only from some 128,000/d queries on, far beyond where it begins to pay.
        """

    @classmethod
    def load(cls, path: Path, options: IndexOptions) -> "FaissIndex":
        """Read an index that FAISS wrote, on the CPU.

        Raises:
            StartError: missing, unreadable or not inner product.
        """
        if not path.is_file():
            raise StartError(f"{path} is missing: build it with podium-retrieval build-index")
        refuse_pointer(path, "INDEX_DIR")
        try:
            index = _read(path, options.memory_map)
        except RuntimeError as error:
            raise StartError(f"{path} is no index that FAISS {faiss.__version__} reads: {one_line(error)}") from error
        if index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise StartError(f"{path} does not score by inner product, so scores would not mean what filters expect")
        for layer in layers(index):
            if hasattr(layer, "nprobe"):
                layer.nprobe = min(options.nprobe, int(layer.nlist))
        return cls(index, _kind(index), "cpu")

    @classmethod
    def flat(cls, vectors: npt.NDArray[np.float32]) -> "FaissIndex":
        """A flat float32 index on the CPU over vectors [n, d]."""
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        return cls(index, "flat-float32", "cpu")

    def to_device(self, options: IndexOptions) -> "FaissIndex":
        """This index on options.device; itself when that is the CPU. Load the encoder first: what it takes counts.

        Raises:
            StartError: it does not fit, with the sizes.
        """
        if options.device == "cpu":
            return self
        import torch

        index, kind = self._index, self.kind
        ordinal = int(options.device.partition(":")[2] or 0)
        width = 2 if options.storage == "float16" else 4
        need = self.size * self.dimension * width + (0 if kind.startswith("flat") else self.size * 8)
        free, total = torch.cuda.mem_get_info(ordinal)
        if need + options.headroom_bytes > free:
            raise StartError(
                f"the index needs {need / GIB:.1f} GiB and {options.headroom_bytes / GIB:.1f} GiB beside it on GPU "
                f"{ordinal}, of which {free / GIB:.1f} of {total / GIB:.1f} GiB are free: take another device, "
                "RETRIEVAL_GPU_STORAGE=float16, or RETRIEVAL_INDEX_DEVICE=cpu"
            )
        resources = faiss.StandardGpuResources()
        half = options.storage == "float16"
        try:
            if kind.startswith("flat"):
                moved = self._flat_to_gpu(resources, ordinal, half, options.cuvs)
            else:
                cloner = faiss.GpuClonerOptions()
                cloner.useFloat16 = half
                if not options.cuvs and hasattr(cloner, "use_cuvs"):
                    cloner.use_cuvs = False
                moved = faiss.index_cpu_to_gpu(resources, ordinal, index, cloner)
                if hasattr(index, "nprobe"):
                    moved.nprobe = index.nprobe
        except RuntimeError as error:
            raise StartError(
                f"the index of {need / GIB:.1f} GiB could not be put on GPU {ordinal}, of which {free / GIB:.1f} of "
                f"{total / GIB:.1f} GiB were free: {one_line(error)}"
            ) from error
        on_gpu = FaissIndex(moved, kind, options.device, resources, half)
        on_gpu.rows = self.rows
        return on_gpu

    def _flat_to_gpu(self, resources: Any, ordinal: int, half: bool, cuvs: bool) -> Any:
        """In pieces, so that neither a mapped file nor vectors stored as fp16 are ever whole in memory as fp32."""
        config = faiss.GpuIndexFlatConfig()
        config.device = ordinal
        config.useFloat16 = half
        if not cuvs and hasattr(config, "use_cuvs"):
            config.use_cuvs = False
        moved = faiss.GpuIndexFlatIP(resources, self.dimension, config)
        for start in range(0, self.size, _CHUNK):
            moved.add(self._index.reconstruct_n(start, min(_CHUNK, self.size - start)))
        return moved

    def search(self, vectors: npt.NDArray[np.float32], k: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Scores and rows, [n, k] each, best first; row -1 where there are fewer than k."""
        k = min(k, self.size)
        if self.blas_from is not None:
            # Set for each call and for both cases, because its unit has changed between FAISS versions.
            faiss.cvar.distance_compute_blas_threshold = 1 if len(vectors) >= self.blas_from else _NEVER
        scores, rows = self._index.search(np.ascontiguousarray(vectors), k)
        return scores, rows if self.rows is None else self.rows.of(rows)

    @property
    def ids(self) -> npt.NDArray[np.int64] | None:
        """Ids that the index gives instead of rows; None where it gives rows."""
        return ids_of(self._index)

    @property
    def scan_bytes(self) -> int | None:
        """Bytes that a flat search reads once; None for an IVF index, which reads a part."""
        if not self.kind.startswith("flat"):
            return None
        return self.size * self.dimension * (2 if self.half else 4)

    @property
    def has_blas_choice(self) -> bool:
        """Whether blas_from matters to this index."""
        return self.device == "cpu" and self.kind == "flat-float32"


def set_threads(threads: int) -> None:
    """CPU threads of FAISS."""
    faiss.omp_set_num_threads(threads)


def gpu_count() -> int:
    """GPUs that this FAISS can use: 0 for faiss-cpu."""
    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def _read(path: Path, memory_map: bool) -> Any:
    if not memory_map:
        return faiss.read_index(str(path))
    # Flat vectors and inverted lists are mapped by different flags, and the first refuses some IVF files.
    for name in ("IO_FLAG_MMAP_IFC", "IO_FLAG_MMAP"):
        flag = getattr(faiss, name, None)
        if flag is not None:
            try:
                return faiss.read_index(str(path), flag)
            except RuntimeError:
                continue
    return faiss.read_index(str(path))


def _kind(index: Any) -> str:
    plain = faiss.downcast_index(index)
    name = type(plain).__name__
    if "IVF" in name:
        return "ivf-float16" if "ScalarQuantizer" in name else "ivf-float32" if "Flat" in name else "ivf"
    if "Flat" in name and "HNSW" not in name:
        return "flat-float32"
    if name == "IndexScalarQuantizer":
        return "flat-float16"
    return name.removeprefix("Index").lower()


def one_line(error: Exception) -> str:
    """A FAISS exception's message without FAISS' own file and line."""
    text = " ".join(str(error).split())
    return text.rpartition("Error: ")[2][:300] or text[:300]
