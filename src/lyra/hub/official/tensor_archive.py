"""Reads the tensors of checkpoint files that others wrote, one at a time, and nothing else of them.

PyTorch writes ``.pt`` files and TorchScript ``.jit`` files as zip archives: a pickled object graph, and one
uncompressed entry per tensor storage. Unpickling is a small language that can call any function, so here every name in
the graph means one of three things: how a tensor lies in a storage, an ordered dictionary, or an inert object that only
remembers its attributes. No name is ever imported, hence no code of the file can run, and unknown objects of a training
framework do no harm. Tensors stay on disk until they are asked for.
"""

import pickle
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from lyra.io.files import require_file
from lyra.structures import InputError

_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_GRAPH = "data.pkl"


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies in its file.

    Attributes:
        shape: its size.
        dtype: its type.
        entry: name of the storage in the archive.
        position: bytes from the start of the file to the storage.
        offset, stride: of the tensor in the storage, in elements.
        storage_bytes: size of the storage.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    entry: str
    position: int
    offset: int
    stride: tuple[int, ...]
    storage_bytes: int

    @property
    def span(self) -> int:
        """Elements from the first to the last one, both counted."""
        if 0 in self.shape:
            return 0
        return 1 + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))


class TensorArchive:
    """A checkpoint file, opened for reading tensors by name.

    Args:
        path: a ``.pt``, ``.pth``, ``.bin``, ``.ckpt`` or ``.jit`` file of PyTorch, or a ``.safetensors`` file.
        wrappers: keys of the outermost dictionary under which the tensors may lie, tried in order; without any of them
            the tensors are those of the whole file.

    Raises:
        InputError: no such file; cut off, damaged, or not a checkpoint; in PyTorch's old format that is no archive.
    """

    def __init__(self, path: Path, wrappers: tuple[str, ...] = ()) -> None:
        self.path = require_file(path, "checkpoint")
        self._entries: dict[str, zipfile.ZipInfo] = {}
        if path.suffix == ".safetensors":
            self.tensors = self._read_safetensors()
            return
        try:
            with zipfile.ZipFile(self.path) as archive:
                self._entries = {info.filename: info for info in archive.infolist()}
                graph = self._graph_of(archive)
            if isinstance(graph, Mapping):
                graph = next((graph[key] for key in wrappers if isinstance(graph.get(key), Mapping)), graph)
            self.tensors = dict(_leaves(graph))
        # beside its own error, zipfile raises RuntimeError for entries that need a password, and its kind
        # NotImplementedError for compression or a version that it does not know
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
            raise InputError(
                f"checkpoint {path} is cut off or not a checkpoint ({error}); download it again"
            ) from error
        except (pickle.UnpicklingError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
            raise InputError(
                f"checkpoint {path} has a damaged table of contents ({error}); download it again"
            ) from error

    def load(self, name: str) -> Tensor:
        """One tensor, contiguous, in memory of its own.

        Raises:
            InputError: the bytes on disk are not those that were written.
        """
        stored = self.tensors[name]
        if not self._entries:
            with safetensors.safe_open(self.path, framework="pt") as file:
                return file.get_tensor(name).clone()
        size = stored.dtype.itemsize
        data = bytearray(stored.span * size)
        with self.path.open("rb") as file:
            file.seek(stored.position + stored.offset * size)
            read = file.readinto(data)
        whole = len(data) == stored.storage_bytes
        checksum = self._entries[stored.entry].CRC
        if read != len(data) or (whole and checksum and zlib.crc32(data) != checksum):
            raise InputError(f"checkpoint {self.path}: tensor {name} is damaged; download the file again")
        if not data:
            return torch.empty(stored.shape, dtype=stored.dtype)
        return torch.frombuffer(data, dtype=stored.dtype).as_strided(stored.shape, stored.stride).contiguous()

    def _graph_of(self, archive: zipfile.ZipFile) -> Any:
        graphs = [name for name in self._entries if name.endswith(f"/{_GRAPH}")]
        if len(graphs) != 1:
            raise zipfile.BadZipFile(f"{len(graphs)} object graphs")
        root = graphs[0].removesuffix(_GRAPH)
        order = self._entries.get(f"{root}byteorder")
        if order is not None and archive.read(order).strip() != b"little":
            raise zipfile.BadZipFile("bytes in big-endian order")
        with archive.open(graphs[0]) as file:
            return _Graph(file, lambda key: (f"{root}data/{key}", *self._storage(f"{root}data/{key}"))).load()

    def _storage(self, entry: str) -> tuple[int, int]:
        """Position and size in bytes of a storage."""
        info = self._entries[entry]
        if info.compress_type != zipfile.ZIP_STORED:
            raise zipfile.BadZipFile(f"{entry} is compressed")
        with self.path.open("rb") as file:
            file.seek(info.header_offset)
            header = file.read(30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise zipfile.BadZipFile(f"{entry} has no header")
        name_length, extra_length = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
        start = info.header_offset + 30 + name_length + extra_length
        if start + info.file_size > self.path.stat().st_size:
            raise zipfile.BadZipFile(f"{entry} lies beyond the end of the file")
        return start, info.file_size

    def _read_safetensors(self) -> dict[str, StoredTensor]:
        kinds = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}
        kinds |= {"I64": torch.int64, "I32": torch.int32, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool}
        try:
            with safetensors.safe_open(self.path, framework="pt") as file:
                found = {}
                for name in file.keys():  # noqa: SIM118 - not a mapping
                    part = file.get_slice(name)
                    shape = tuple(part.get_shape())
                    found[name] = StoredTensor(shape, kinds[part.get_dtype()], name, 0, 0, (), 0)
                return found
        except (safetensors.SafetensorError, KeyError, OSError) as error:
            raise InputError(f"checkpoint {self.path} is cut off or damaged ({error}); download it again") from error


class _Inert:
    """Stands for any object that is not a tensor; it does nothing but keep what it is given."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        self.state: Any = None
        self.items: list[Any] = []

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """A list or set of the original."""

    def extend(self, values: Any) -> None:
        """A list of the original."""

    def __call__(self, *arguments: Any, **keywords: Any) -> "_Inert":
        return _Inert()


@dataclass(frozen=True)
class _Kind:
    dtype: torch.dtype


class _Graph(pickle.Unpickler):
    """The object graph with every global name replaced by a stand-in; see the head of this file."""

    def __init__(self, file: Any, storage: Any) -> None:
        super().__init__(file)
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return _Kind(_STORAGES[name])
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *rest: data
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        return _Inert

    def persistent_load(self, pid: Any) -> Any:
        kind, storage_type, key, _, _ = pid
        if kind != "storage" or not isinstance(storage_type, _Kind):
            raise pickle.UnpicklingError(f"storage {key} is of an unknown type")
        return storage_type.dtype, *self._storage(str(key))


def _tensor(storage: Any, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> StoredTensor:
    dtype, entry, position, size = storage
    stored = StoredTensor(tuple(shape), dtype, entry, position, offset, tuple(stride), size)
    if offset < 0 or min(stride, default=0) < 0 or (offset + stored.span) * dtype.itemsize > size:
        raise pickle.UnpicklingError(f"a tensor reaches beyond storage {entry}")
    return stored


def _leaves(graph: Any, prefix: str = "", above: tuple[int, ...] = ()) -> Iterator[tuple[str, StoredTensor]]:
    """Names and tensors of dictionaries, sequences and modules, joined by dots; a thing inside itself is left out."""
    if isinstance(graph, StoredTensor):
        yield prefix.removesuffix("."), graph
        return
    if id(graph) in above:
        return
    above = (*above, id(graph))
    if isinstance(graph, _Inert):
        graph = graph.state
    if isinstance(graph, Mapping):
        for key, value in graph.items():
            yield from _leaves(value, f"{prefix}{key}.", above)
    elif isinstance(graph, list | tuple):
        for index, value in enumerate(graph):
            yield from _leaves(value, f"{prefix}{index}.", above)
