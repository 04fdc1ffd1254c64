"""Checkpoint files of others: tensors come out, code does not run, damage is named."""

import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lyra.hub.official.tensor_archive import TensorArchive
from lyra.structures import InputError


class Module(nn.Module):
    """Nested, with buffers that are stored and one that TorchScript stores although the state dict would not."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Linear(3, 3))
        self.narrow = nn.Linear(2, 2).bfloat16()
        self.register_buffer("wavelets", torch.ones(2))
        self.register_buffer("steps", torch.arange(2), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.encoder[0](x)


def tensors() -> dict[str, torch.Tensor]:
    return {
        "plain": torch.rand(3, 4),
        "parameter": nn.Parameter(torch.rand(2)),
        "slice": torch.arange(40.0).view(5, 8)[1:4, 2:7],
        "transposed": torch.rand(3, 5).T,
        "half": torch.rand(7).bfloat16(),
        "count": torch.tensor(5),
        "nothing": torch.zeros(0, 3),
        "flags": torch.tensor([True, False]),
    }


def test_every_layout_of_a_tensor_is_read(tmp_path: Path) -> None:
    state = tensors()
    path = tmp_path / "model.pt"
    torch.save({"module": state, "step": 3}, path)
    archive = TensorArchive(path, ("module", "model"))
    assert list(archive.tensors) == list(state)
    for name, expected in state.items():
        found = archive.load(name)
        assert found.is_contiguous() and found.dtype == expected.dtype and torch.equal(found, expected), name
    torch.save(state, path)
    assert set(TensorArchive(path, ("module",)).tensors) == set(state), "without a wrapper"
    torch.save((state["plain"], state["half"]), path)
    assert list(TensorArchive(path).tensors) == ["0", "1"]


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_torchscript_is_read_without_running_it(tmp_path: Path) -> None:
    path = tmp_path / "encoder.jit"
    module = torch.jit.trace(Module().eval(), torch.rand(1, 2, 4, 4))
    module.save(str(path))
    expected = torch.jit.load(str(path)).state_dict()
    archive = TensorArchive(path)
    assert set(archive.tensors) == set(expected) and "encoder.1.weight" in expected
    assert all(torch.equal(archive.load(name), expected[name]) for name in expected)


def test_safetensors_are_read_too(tmp_path: Path) -> None:
    state = {"a": torch.rand(2, 3), "b": torch.rand(4).bfloat16()}
    save_file(state, tmp_path / "model.safetensors")
    archive = TensorArchive(tmp_path / "model.safetensors")
    assert archive.tensors["a"].shape == (2, 3) and archive.tensors["b"].dtype == torch.bfloat16
    assert all(torch.equal(archive.load(name), state[name]) for name in state)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 30)
    with pytest.raises(InputError, match="cut off or damaged"):
        TensorArchive(tmp_path / "model.safetensors")


class Burglar:
    """What a hostile file would hold: unpickling it calls a function."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


def test_nothing_of_the_file_is_executed(tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "model.pt"
    state = {"module": {"a": torch.ones(3)}, "optimizer": Burglar(mark), "more": [Burglar(mark)], "set": {Burglar}}
    torch.save(state, path)
    archive = TensorArchive(path, ("module",))
    assert list(archive.tensors) == ["a"] and archive.load("a").tolist() == [1, 1, 1]
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "the file was dangerous"


def test_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"module": {"a": torch.rand(64, 64)}}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"model\.pt is cut off or not a checkpoint.*download it again"):
        TensorArchive(path)
    path.write_bytes(whole)
    archive = TensorArchive(path, ("module",))
    start = archive.tensors["a"].position
    path.write_bytes(whole[: start + 100] + b"\x7f" + whole[start + 101 :])
    with pytest.raises(InputError, match="tensor a is damaged"):
        TensorArchive(path, ("module",)).load("a")
    torch.save({"module": {"a": torch.rand(3)}}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match="cut off or not a checkpoint"):
        TensorArchive(path)
    with pytest.raises(InputError, match="does not exist"):
        TensorArchive(tmp_path / "other.pt")


def test_compressed_and_lying_archives_are_refused(tmp_path: Path) -> None:
    path, other = tmp_path / "model.pt", tmp_path / "packed.pt"
    torch.save({"a": torch.rand(64)}, path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(InputError, match="is compressed"):
        TensorArchive(other)
    graph = zipfile.ZipFile(path).read("model/data.pkl").replace(b"K@\x85", b"K\xff\x85")  # 64 elements become 255
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, "w") as target:
        for name in source.namelist():
            target.writestr(name, graph if name.endswith("data.pkl") else source.read(name))
    with pytest.raises(InputError, match="reaches beyond storage"):
        TensorArchive(other)


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [(8, 1, "password required"), (10, 99, "compression method is not supported")],
    ids=["encrypted", "packed otherwise"],
)
def test_entries_that_zip_cannot_open_are_refused(tmp_path: Path, place: int, value: int, complaint: str) -> None:
    path = tmp_path / "model.pt"
    torch.save({"a": torch.rand(4)}, path)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02", 0, data.index(b"/data.pkl", data.index(b"PK\x01\x02")))
    data[entry + place] = value
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"{complaint}.*download it again"):
        TensorArchive(path)


def test_lists_without_end_and_broken_compression_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    graph = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("model/data.pkl", graph)
    with pytest.raises(InputError, match="cut off or not a checkpoint"):
        TensorArchive(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("model/data.pkl", graph)
    data = bytearray(path.read_bytes())
    start = 30 + len("model/data.pkl")
    data[start : start + 20] = b"\xff" * 20
    path.write_bytes(data)
    with pytest.raises(InputError, match="cut off or not a checkpoint"):
        TensorArchive(path)
