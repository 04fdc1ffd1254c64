"""Damaged files of every kind into every reader: an InputError or valid Gaussians, and hardly any memory.

The examples are the same in every run. LYRA_FUZZ_EXAMPLES=5000 tries that many random ones of each kind instead.
"""

import gzip
import io
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lyra.io import FORMATS, read_gaussians
from lyra.structures import Gaussians, InputError

EXAMPLES = os.environ.get("LYRA_FUZZ_EXAMPLES")
FUZZ = settings(
    max_examples=int(EXAMPLES or 50),
    derandomize=EXAMPLES is None,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
MOST_MEMORY = 16 << 20
NUMBERS = (0, 1, 255, 256, 0x7FFF, 0xFFFF, 1_000_000, 0x7F800000, 0x7FFFFFFF, 0xFFC00000, 0xFFFFFFFF)

place = st.floats(0, 1)
change = st.one_of(
    st.tuples(st.just("cut"), place),
    st.tuples(st.just("write"), place, st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("insert"), place, st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("delete"), place, st.integers(1, 100)),
    st.tuples(st.just("repeat"), place, st.integers(1, 100), st.integers(2, 50)),
    st.tuples(st.just("number"), place, st.sampled_from(NUMBERS), st.sampled_from("<>")),
    st.tuples(st.just("splice"), place, place),
    st.tuples(st.just("head"), st.integers(0, 63), st.integers(0, 255)),
)
changes = st.lists(change, min_size=1, max_size=4)


def damaged(content: bytes, steps: list[tuple], other: bytes) -> bytes:
    """The content after some accidents; ``other`` is what gets spliced on."""
    for kind, *values in steps:
        at = int(values[0] * len(content)) if kind != "head" else min(values[0], len(content))
        before, after = content[:at], content[at:]
        match kind:
            case "cut":
                content = before
            case "write":
                content = before + values[1] + after[len(values[1]) :]
            case "insert":
                content = before + values[1] + after
            case "delete":
                content = before + after[values[1] :]
            case "repeat":
                content = before + after[: values[1]] * values[2] + after[values[1] :]
            case "number":
                content = before + struct.pack(f"{values[2]}I", values[1]) + after[4:]
            case "splice":
                content = before + other[int(values[1] * len(other)) :]
            case "head":
                content = before + bytes([values[1]]) + after[1:]
    return content


def inside_gzip(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    return gzip.compress(change(gzip.decompress(content)), compresslevel=1)


def inside_zip(name: str, content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        for each in old.namelist():
            new.writestr(each, change(old.read(each)) if each.endswith(name) else old.read(each))
    return file.getvalue()


def inside_sections(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Of an SPZ file of version 4: the sections are damaged before they are compressed, the table fits."""
    zstandard = pytest.importorskip("zstandard")
    place, entries, sections = 32 + 5 * 16, b"", b""
    for packed, _ in struct.iter_unpack("<QQ", content[32:place]):
        section = change(zstandard.decompress(content[place : place + packed]))
        place += packed
        new = zstandard.compress(section)
        sections += new
        entries += struct.pack("<QQ", len(new), len(section))
    return content[:32] + entries + sections


def text_ply(gaussians: Gaussians) -> bytes:
    names = ["x", "y", "z", "opacity", *(f"f_dc_{i}" for i in range(3)), *(f"scale_{i}" for i in range(3))]
    names += [f"rot_{i}" for i in range(4)]
    table = [gaussians.means, gaussians.opacities[:, None], gaussians.colors, gaussians.scales.log(), gaussians.quats]
    lines = [" ".join(f"{x:.6g}" for x in row) for row in torch.cat(table, dim=1).tolist()]
    head = ["ply", "format ascii 1.0", f"element vertex {len(lines)}", *(f"property float {name}" for name in names)]
    return "\n".join([*head, "end_header", *lines, ""]).encode()


def spz_4(gaussians: Gaussians, folder: Path) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    FORMATS["spz"].write(folder / "3.spz", gaussians)
    content = gzip.decompress((folder / "3.spz").read_bytes())
    ends = [16]
    for size in (9, 1, 3, 3, 4):
        ends.append(ends[-1] + size * len(gaussians))
    sections = [zstandard.compress(content[a:b]) for a, b in zip(ends[:-1], ends[1:], strict=True)]
    table = b"".join(
        struct.pack("<QQ", len(each), b - a) for each, a, b in zip(sections, ends[:-1], ends[1:], strict=True)
    )
    head = content[:4] + struct.pack("<I", 4) + content[8:15] + b"\5" + struct.pack("<I12x", 32)
    return head + table + b"".join(sections)


def dump(gaussians: Gaussians) -> bytes:
    g, file = gaussians, io.BytesIO()
    torch.save(torch.cat([g.means, g.opacities[:, None], g.scales, g.quats, g.colors], dim=1)[None], file)
    return file.getvalue()


def inside_glb(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    end = 20 + int.from_bytes(content[12:16], "little")
    text = change(content[20:end])
    sizes = struct.pack("<II", len(content) + len(text) - (end - 20), len(text))
    return content[:8] + sizes + content[16:20] + text + content[end:]


class Files(dict[str, bytes]):
    """Contents by kind; too long to be printed with a failure."""

    def __repr__(self) -> str:
        return f"Files of {', '.join(self)}"


@pytest.fixture(scope="module")
def valid(grid: Callable[..., Gaussians], tmp_path_factory: pytest.TempPathFactory) -> Files:
    """One small file of each kind."""
    folder = tmp_path_factory.mktemp("valid")
    files = Files()
    for name, each in FORMATS.items():
        each.write(folder / name, grid(4))
        files[name] = (folder / name).read_bytes()
    files |= {"text": text_ply(grid(3)), "spz 4": spz_4(grid(4), folder), "dump": dump(grid(4))}
    return files


KINDS: dict[str, tuple[str, Callable[[bytes, Callable[[bytes], bytes]], bytes]]] = {
    "ply": ("ply", lambda content, change: change(content)),
    "text ply": ("text", lambda content, change: change(content)),
    "compressed ply": ("compressed-ply", lambda content, change: change(content)),
    "splat": ("splat", lambda content, change: change(content)),
    "spz": ("spz", lambda content, change: change(content)),
    "inside spz": ("spz", inside_gzip),
    "spz 4": ("spz 4", lambda content, change: change(content)),
    "inside spz 4": ("spz 4", inside_sections),
    "sog": ("sog", lambda content, change: change(content)),
    "meta of sog": ("sog", lambda content, change: inside_zip("meta.json", content, change)),
    "pictures of sog": ("sog", lambda content, change: inside_zip(".webp", content, change)),
    "glb": ("glb", lambda content, change: change(content)),
    "json of glb": ("glb", inside_glb),
    "tensor dump": ("dump", lambda content, change: change(content)),
    "pickle of a dump": ("dump", lambda content, change: inside_zip("data.pkl", content, change)),
}


@pytest.mark.parametrize("kind", KINDS)
@FUZZ
@given(steps=changes, other=st.sampled_from(["ply", "compressed-ply", "splat", "spz", "sog", "spz 4", "dump"]))
def test_a_damaged_file_is_refused_or_valid(kind, steps, other, valid, tmp_path):
    source, apply = KINDS[kind]
    content = apply(valid[source], lambda part: damaged(part, steps, valid[other]))
    path = tmp_path / ("file.splat" if source == "splat" else "file")
    path.write_bytes(content)
    tracemalloc.start()
    try:
        result = read_gaussians(path)
    except InputError as error:
        assert "\n" not in str(error)
        result = None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_MEMORY + 2 * len(content)
    if result is not None:
        check(result)


def check(gaussians: Gaussians) -> None:
    assert len(gaussians) > 0
    assert torch.isfinite(gaussians.means).all()
    assert torch.isfinite(gaussians.scales).all() and (gaussians.scales >= 0).all()
    assert torch.allclose(gaussians.quats.norm(dim=1), torch.ones(()), atol=1e-4)
    for values in (gaussians.opacities, gaussians.colors):
        assert (values >= 0).all() and (values <= 1).all()


def test_the_files_are_valid_before_the_damage(valid, tmp_path):
    for source, content in valid.items():
        path = tmp_path / ("file.splat" if source == "splat" else "file")
        path.write_bytes(content)
        check(read_gaussians(path))
