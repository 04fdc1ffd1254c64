"""Cut off, lying and exploding files: one line, at once, with hardly any memory."""

import gzip
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lyra.io import FORMATS, read_gaussians, read_ply
from lyra.structures import InputError

MIB = 1 << 20


def sog_files(grid: Callable, tmp_path: Path) -> dict[str, bytes]:
    FORMATS["sog"].write(tmp_path / "good.sog", grid(3))
    with zipfile.ZipFile(tmp_path / "good.sog") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def webp(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "WEBP", lossless=True)
    return file.getvalue()


def refused(path: Path, words: str) -> None:
    """Reading raises an InputError of these words, and takes less than 8 MiB of Python's memory."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=words) as caught:
            read_gaussians(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert peak < 8 * MIB


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_off_anywhere_is_refused(tmp_path, grid, name):
    FORMATS[name].write(tmp_path / "whole", grid(4))
    content = (tmp_path / "whole").read_bytes()
    path = tmp_path / f"cut{FORMATS[name].suffix}"
    for place in np.linspace(1, len(content) - 1, 40).astype(int):
        path.write_bytes(content[: place - (name == "splat" and place % 32 == 0)])
        with pytest.raises(InputError):
            FORMATS[name].read(path)


def spz_header(version: int = 3, count: int = 1, degree: int = 0, bits: int = 12, flags: int = 0) -> bytes:
    return b"NGSP" + struct.pack("<IIBBBB", version, count, degree, bits, flags, 0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(spz_header(version=0) + bytes(20)), "version 0"),
        (gzip.compress(spz_header(version=4) + bytes(20)), "version 4"),
        (gzip.compress(spz_header(version=77) + bytes(20)), "version 77"),
        (spz_header(version=5) + bytes(100), "version 5"),
        (spz_header(version=3) + bytes(100), "version 3"),
        (gzip.compress(spz_header(count=0)), "no Gaussians"),
        (gzip.compress(spz_header(degree=5) + bytes(99)), "damaged header"),
        (gzip.compress(spz_header(bits=32) + bytes(99)), "damaged header"),
        (gzip.compress(spz_header(count=2) + bytes(20)), "cut off"),
        (gzip.compress(spz_header(count=0xFFFFFFFF) + bytes(20)), "claims 85899345900 bytes"),
        (gzip.compress(b"a text, compressed" * 10), "compressed, but holds no Gaussians"),
        (gzip.compress(spz_header() + bytes(20))[:-8] + bytes(8), "damaged"),  # wrong check sum
        (spz_header(version=4), "damaged or cut off"),
        (spz_header(version=4) + b"\5" + bytes(100), "damaged or cut off"),
        (spz_header(version=4)[:15] + b"\5" + struct.pack("<I12x", 1 << 31) + bytes(99), "damaged or cut off"),
        (spz_header(version=4, count=0xFFFFFFFF)[:15] + b"\5" + struct.pack("<I12x", 32) + bytes(99), "claims"),
    ],
)
def test_lying_spz_headers(tmp_path, content, words):
    (tmp_path / "bad.spz").write_bytes(content)
    refused(tmp_path / "bad.spz", words)


def test_a_gzip_bomb_behind_an_honest_header_is_not_unpacked(tmp_path):
    bomb = gzip.compress(spz_header() + bytes(50 * MIB), compresslevel=1)
    (tmp_path / "bomb.spz").write_bytes(bomb)
    refused(tmp_path / "bomb.spz", "more than its header says")


def test_a_gzip_bomb_with_its_count_in_the_header_is_not_unpacked(tmp_path):
    count = 4_000_000
    bomb = gzip.compress(spz_header(count=count) + bytes(20 * count), compresslevel=1)
    (tmp_path / "bomb.spz").write_bytes(bomb)
    refused(tmp_path / "bomb.spz", "claims 80000000 bytes")


def plain_spz(count: int, sections: list[bytes], unpacked: list[int]) -> bytes:
    head = spz_header(version=4, count=count)[:15] + bytes([len(sections)]) + struct.pack("<I12x", 32)
    entries = b"".join(struct.pack("<QQ", len(s), u) for s, u in zip(sections, unpacked, strict=True))
    return head + entries + b"".join(sections)


def test_zstandard_frames_that_lie_about_their_size(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    sizes = [9, 1, 3, 3, 4]
    honest = [zstandard.compress(bytes(size)) for size in sizes]
    path = tmp_path / "bad.spz"
    path.write_bytes(plain_spz(1, honest, sizes))
    assert len(read_gaussians(path)) == 1
    # a frame that states 4 GiB, one that states nothing and holds 64 MiB, one of another size, one that is none
    huge = bytes.fromhex("28b52ffd e0") + struct.pack("<Q", 1 << 32) + bytes.fromhex("0300c0 00")
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(64 * MIB))
    for frame in (huge, silent, zstandard.compress(bytes(10)), b"no frame"):
        path.write_bytes(plain_spz(1, [frame, *honest[1:]], sizes))
        refused(path, "damaged")
    path.write_bytes(plain_spz(1, honest, [9, 1, 3, 3, 1 << 60]))
    refused(path, "damaged")
    good = plain_spz(1, honest, sizes)
    for stated in (1 << 60, (1 << 64) - 1):
        path.write_bytes(good[:32] + struct.pack("<Q", stated) + good[40:])
        refused(path, "damaged")


def test_zip_bombs_under_a_sog_name(tmp_path, grid):
    files = sog_files(grid, tmp_path)
    path = tmp_path / "bomb.sog"
    zipped(path, {**files, "meta.json": bytes(20 * MIB)}, zipfile.ZIP_DEFLATED)
    refused(path, "meta.json is larger than it can honestly be")
    zipped(path, {**files, "quats.webp": bytes(20 * MIB)}, zipfile.ZIP_DEFLATED)
    refused(path, "quats.webp is larger than it can honestly be")
    # the same, but both tables declare a small size
    zipped(path, {"meta.json": bytes(20 * MIB), "x": b""}, zipfile.ZIP_DEFLATED)
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 20 * MIB), struct.pack("<I", 1000)))
    refused(path, "meta.json is damaged")
    zipped(path, {f"{index:06d}": b"" for index in range(3000)} | files)
    refused(path, "too many entries")
    zipped(path, files, zipfile.ZIP_LZMA)
    refused(path, "meta.json is damaged")


def test_pictures_are_measured_before_they_are_decoded(tmp_path, grid):
    files = sog_files(grid, tmp_path)
    path = tmp_path / "bomb.sog"
    for size, words in (((4000, 4000), "4000 x 4000 pixels for 27"), ((2, 2), "2 x 2 pixels for 27")):
        zipped(path, {**files, "scales.webp": webp(*size)})
        refused(path, words)
    good = files["scales.webp"]
    for place in (0, 8, 12, 20, 21):
        zipped(path, {**files, "scales.webp": good[:place] + b"\xff\xff\xff\xff" + good[place + 4 :]})
        refused(path, "scales.webp")
    # an extended header of the right size around a picture of another
    inner = webp(4000, 4000)[12:]
    head = b"VP8X" + struct.pack("<II", 10, 0) + struct.pack("<I", 7)[:3] + struct.pack("<I", 7)[:3]
    zipped(path, {**files, "scales.webp": b"RIFF" + struct.pack("<I", 4 + len(head + inner)) + b"WEBP" + head + inner})
    refused(path, "scales.webp is damaged")
    png = io.BytesIO()
    Image.new("RGB", (8, 8)).save(png, "PNG")
    zipped(path, {**files, "scales.webp": png.getvalue()})
    refused(path, "no WebP picture")


CHANGES: dict[str, tuple[Callable[[dict], object], str]] = {
    "count": (lambda meta: meta.update(count=1 << 40), "claims"),
    "count of 27.0": (lambda meta: meta.update(count=27.0), "no count"),
    "no count": (lambda meta: meta.pop("count"), "no count"),
    "negative": (lambda meta: meta.update(count=-1), "no count"),
    "none": (lambda meta: meta.update(count=0), "no Gaussians"),
    "version 1": (lambda meta: meta.pop("version"), "of version unknown, not 2"),
    "version 3": (lambda meta: meta.update(version=3), "of version 3, not 2"),
    "two extremes": (lambda meta: meta["means"].update(mins=[0, 0]), "no 3 numbers as means.mins"),
    "infinite": (lambda meta: meta["means"].update(maxs=[0, 0, float("inf")]), "no 3 numbers as means.maxs"),
    "words": (lambda meta: meta["means"].update(maxs=[0, 0, "1"]), "no 3 numbers as means.maxs"),
    "hundreds of digits": (lambda meta: meta["means"].update(maxs=[0, 0, 10**400]), "no 3 numbers as means.maxs"),
    "short table": (lambda meta: meta["scales"].update(codebook=[0]), "no 256 numbers as scales.codebook"),
    "no table": (lambda meta: meta.pop("sh0"), "sh0"),
    "no list": (lambda meta: meta.update(quats=[1]), "names no file for quats"),
    "number": (lambda meta: meta["quats"].update(files=[1]), "names no file for quats"),
    "elsewhere": (lambda meta: meta["quats"].update(files=["../quats.webp"]), "lacks ../quats.webp"),
    "far away": (lambda meta: meta["means"].update(mins=[500] * 3, maxs=[1000] * 3), "no finite Gaussian"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_meta_that_lies(tmp_path, grid, change):
    files = sog_files(grid, tmp_path)
    meta = json.loads(files["meta.json"])
    CHANGES[change][0](meta)
    zipped(tmp_path / "bad.sog", {**files, "meta.json": json.dumps(meta).encode()})
    refused(tmp_path / "bad.sog", CHANGES[change][1])


@pytest.mark.parametrize(
    "content", [b"[" * 500_000, b"{", b"[]", b"\xff\xfe", b'{"version": 2, "count": 1' + b"0" * 5000 + b"}"]
)
def test_meta_that_is_none(tmp_path, grid, content):
    zipped(tmp_path / "bad.sog", {**sog_files(grid, tmp_path), "meta.json": content})
    with pytest.raises(InputError, match=r"bad\.sog"):
        read_gaussians(tmp_path / "bad.sog")


def test_compressed_ply_of_other_counts_and_types(tmp_path, grid):
    FORMATS["compressed-ply"].write(tmp_path / "good.ply", grid(7))
    good = (tmp_path / "good.ply").read_bytes()
    path = tmp_path / "bad.ply"
    for old, new, words in (
        (b"element vertex 343", b"element vertex 600", "2 chunks for 600 Gaussians"),
        (b"element vertex 343", b"element vertex 512", "cut off: 343 of 512"),
        (b"chunk 2\n", b"chunk 3906250000000\n", "chunks for 343"),
        (b"element vertex 343", b"element vertex 0", "no Gaussians"),
        (b"uint packed_scale", b"int packed_scale", "another type"),
        (b"float max_z", b"double max_z", "another type"),
        (b"packed_scale", b"packed_scales", "lacks properties"),
        (b"min_x", b"mix_x", "lacks properties"),
        (b"element chunk", b"element crunch", "packed vertices and their chunks"),
        (b"binary_little_endian", b"ascii", "packed vertices and their chunks"),
    ):
        assert old in good
        path.write_bytes(good.replace(old, new))
        refused(path, words)
    huge = good.replace(b"element vertex 343", b"element vertex 1000000000000").replace(
        b"chunk 2\n", b"chunk 3906250000\n"
    )
    path.write_bytes(huge)
    refused(path, "cut off: 78 of 3906250000 of 'chunk'")


class _Trap:
    def __reduce__(self) -> tuple:
        return os.mkdir, (os.environ["TRAP"],)


def test_tensor_dumps_that_are_traps(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAP", str(tmp_path / "sprung"))
    path = tmp_path / "dump.ply"
    torch.save(_Trap(), path)
    with pytest.raises(InputError, match="archive"):
        read_ply(path)
    assert not (tmp_path / "sprung").exists()
    pickle.loads(pickle.dumps(_Trap()))  # the trap does work
    assert (tmp_path / "sprung").exists()
    for dump in (
        torch.zeros(1).expand(1, 10**7, 14),  # one stored number
        torch.zeros(1, 5, 14, dtype=torch.int64),
        torch.zeros(2, 5, 14),
        torch.zeros(14),
        torch.zeros(1, 5, 14).to_sparse(),
        torch.zeros(1, 10**9, 14, device="meta"),
        [torch.zeros(1, 5, 14)] * 3,
    ):
        torch.save(dump, path)
        with pytest.raises(InputError, match="not one"):
            read_ply(path)
    torch.save(torch.zeros(1, 0, 14), path)
    with pytest.raises(InputError, match="no Gaussians"):
        read_ply(path)


LIMITED = """
import resource, sys
from lyra.io import read_gaussians
from lyra.structures import InputError
size = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (size + (256 << 20),) * 2)
for path in sys.argv[1:]:
    try:
        read_gaussians(path)
    except InputError as error:
        print(error)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the limit on memory is that of Linux")
def test_all_memory_together_stays_small(tmp_path, grid):
    """What tracemalloc does not see: torch, zlib, WebP. The process gets 256 MiB, every file claims more."""
    files = sog_files(grid, tmp_path)
    meta = json.loads(files["meta.json"])
    bombs = {"count.ply": FORMATS["ply"], "count.compressed.ply": FORMATS["compressed-ply"]}
    for name, form in bombs.items():
        form.write(tmp_path / name, grid(3))
        content = (tmp_path / name).read_bytes().replace(b"element vertex 27", b"element vertex 1000000000")
        (tmp_path / name).write_bytes(content)
    (tmp_path / "count.spz").write_bytes(gzip.compress(spz_header(count=1_000_000_000) + bytes(MIB)))
    (tmp_path / "count4.spz").write_bytes(spz_header(version=4, count=1_000_000_000) + bytes(MIB))
    zipped(tmp_path / "count.sog", {**files, "meta.json": json.dumps({**meta, "count": 1_000_000_000}).encode()})
    zipped(tmp_path / "picture.sog", {**files, "means_l.webp": webp(16383, 2000)})
    torch.save(torch.zeros(1).expand(1, 10**9, 14), tmp_path / "dump.ply")
    torch.save(torch.zeros(1, 1, 14), tmp_path / "small.pt")
    with (
        zipfile.ZipFile(tmp_path / "small.pt") as archive,
        zipfile.ZipFile(tmp_path / "packed.ply", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed,
    ):
        for name in archive.namelist():
            with packed.open(name, "w") as stream:
                stream.write(archive.read(name))
                for _ in range(320 if name.endswith("data/0") else 0):
                    stream.write(bytes(MIB))
    (tmp_path / "small.pt").unlink()
    paths = [str(path) for path in tmp_path.iterdir() if path.name != "good.sog"]
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, *paths],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == len(paths) == 8
    assert "cannot be read" not in result.stdout  # as torch would say if it ran out of memory
