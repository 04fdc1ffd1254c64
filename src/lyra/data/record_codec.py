"""One record as the members of a WebDataset sample, and back.

========================  ============================================================================================
``safetensors``           latents fp16, cameras and source depth fp32, depth of the clips fp16, masks bool
``png``                   the S source pictures below one another, 8 bit
``<path>.<frame>.webp``   optional: the clips as pictures, lossy WebP of quality `RGB_QUALITY`
``json``                  names, sizes, meta, and the SHA-256 of every other member; always the last
========================  ============================================================================================
"""

import hashlib
import io
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

from lyra.data.corrupt import CorruptRecordError
from lyra.structures import Cameras, Frames, Latents, SceneRecord, Trajectory, Views

FORMAT = 1
LAST_MEMBER = "json"
"""A record is complete exactly when this member is."""
RGB_QUALITY = 95
_HALF_LIMIT = torch.finfo(torch.float16).max
_NAME = re.compile(r"[A-Za-z0-9_-]{1,48}")
_OTHER = re.compile(r"[^A-Za-z0-9_-]+")
_DAMAGE = (KeyError, TypeError, ValueError, OSError, SyntaxError, EOFError, safetensors.SafetensorError)


def pack_record(record: SceneRecord, rgb: bool = True) -> dict[str, bytes]:
    """The members of a record by extension, ``json`` last.

    Args:
        record: on any device.
        rgb: keep the clips as pictures, where the record has them.

    Raises:
        ValueError: a key or path name that a sample's file names cannot hold (see `safe_name`), or latents that fp16
            cannot hold, which only a diverged network makes.
    """
    names = [path.name for path in record.latents.trajectories]
    for name in (record.key, *names):
        if not _NAME.fullmatch(name):
            raise ValueError(f"pack_record: the name {name!r} should be 1 to 48 letters, digits, _ and -")
    record = record.to("cpu")
    z = record.latents.z
    if not bool(torch.isfinite(z).all()) or float(z.abs().max()) > _HALF_LIMIT:
        raise ValueError(f"pack_record: latents of {record.key} are not finite in fp16")
    paths = record.latents.trajectories
    tensors = {
        "latents": z.half(),
        "c2w": torch.stack([path.cameras.c2w for path in paths]).float(),
        "K": torch.stack([path.cameras.K for path in paths]).float(),
        "source_c2w": record.views.cameras.c2w.float(),
        "source_K": record.views.cameras.K.float(),
        "source_depth": record.views.depth.float(),
        "source_mask": record.views.mask,
    }
    if record.depth is not None and record.mask is not None:
        tensors |= {"depth": record.depth.clamp(-_HALF_LIMIT, _HALF_LIMIT).half(), "mask": record.mask}
    if record.times is not None:
        tensors["times"] = record.times.float()
    members = {
        "safetensors": safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()}),
        "png": _picture_bytes(torch.cat(tuple(record.views.frames.rgb), dim=1), "PNG"),
    }
    if rgb and record.frames is not None:
        for name, clip in zip(names, record.frames, strict=True):
            for frame, picture in enumerate(clip):
                members[f"{name}.{frame:04d}.webp"] = _picture_bytes(picture, "WEBP", quality=RGB_QUALITY)
    about = {
        "format": FORMAT,
        "key": record.key,
        "tokenizer": record.latents.tokenizer,
        "names": names,
        "strengths": [path.strength for path in paths],
        "sizes": [[path.cameras.height, path.cameras.width] for path in paths],
        "source_size": [record.views.cameras.height, record.views.cameras.width],
        "fps": record.views.frames.fps,
        "meta": record.meta,
        "sha256": {extension: hashlib.sha256(content).hexdigest() for extension, content in members.items()},
    }
    return {**members, LAST_MEMBER: json.dumps(about).encode()}


def safe_name(text: str, longest: int = 48) -> str:
    """``text`` as part of a key: letters, digits, ``_`` and ``-``, other characters become one ``_``."""
    return _OTHER.sub("_", text).strip("_")[:longest] or "_"


def unpack_record(key: str, members: Mapping[str, bytes], where: str, rgb: bool = True) -> SceneRecord:
    """The inverse of `pack_record`, up to its storage precision.

    Args:
        key: name of the record.
        members: content by extension.
        where: the file, for messages.
        rgb: decode the clips, where the record holds them.

    Raises:
        CorruptRecordError: members are missing, changed, or do not fit each other.
    """
    about = check_members(key, members, where)
    try:
        tensors = safetensors.torch.load(members["safetensors"])
        count = len(tensors["source_depth"])
        pictures = _picture(members["png"]).float().div(255).unflatten(1, (count, -1)).transpose(0, 1)
        source = Cameras(tensors["source_c2w"], tensors["source_K"], *map(int, about["source_size"]))
        views = Views(
            Frames(pictures.contiguous(), about["fps"]), tensors["source_depth"], tensors["source_mask"], source
        )
        paths = tuple(
            Trajectory(name, Cameras(c2w, K, int(height), int(width)), strength)
            for name, strength, (height, width), c2w, K in zip(
                about["names"], about["strengths"], about["sizes"], tensors["c2w"], tensors["K"], strict=True
            )
        )
        depth = tensors["depth"].float() if "depth" in tensors else None
        return SceneRecord(
            key,
            Latents(tensors["latents"].float(), paths, about["tokenizer"]),
            views,
            _clips(members, about["names"]) if rgb else None,
            depth,
            tensors.get("mask"),
            tensors.get("times"),
            dict(about["meta"]),
        )
    except _DAMAGE as error:
        raise _corrupt(key, where, f"its parts do not fit ({error})") from error


def check_members(key: str, members: Mapping[str, bytes], where: str) -> dict[str, Any]:
    """What the ``json`` member says, once every other member has the checksum that it names.

    Raises:
        CorruptRecordError: unreadable, of another record, incomplete, or changed.
    """
    try:
        about = json.loads(members[LAST_MEMBER])
        checksums = dict(about["sha256"])
        if about["key"] != key or about["format"] != FORMAT:
            raise _corrupt(key, where, f"it calls itself {about['key']} in format {about['format']}")
    except CorruptRecordError:
        raise
    except _DAMAGE as error:
        raise _corrupt(key, where, "its description is unreadable") from error
    for extension, checksum in checksums.items():
        if hashlib.sha256(members.get(extension, b"")).hexdigest() != checksum:
            raise _corrupt(key, where, f"the checksum of its {extension} is wrong")
    return about


def _corrupt(key: str, where: str, reason: str) -> CorruptRecordError:
    return CorruptRecordError(f"{where}: record {key} is damaged, {reason}; restore the file from a copy")


def _clips(members: Mapping[str, bytes], names: list[str]) -> Tensor | None:
    """[V, T, 3, H, W] uint8, or None where no pictures are kept."""
    clips = []
    for name in names:
        frames = sorted(extension for extension in members if re.fullmatch(rf"{re.escape(name)}\.\d+\.webp", extension))
        if not frames:
            return None
        clips.append(torch.stack([_picture(members[extension]) for extension in frames]))
    return torch.stack(clips)


def _picture_bytes(rgb: Tensor, kind: str, **options: int) -> bytes:
    """[3, H, W] float 0…1 or uint8 as a picture file."""
    if rgb.is_floating_point():
        rgb = (rgb.clamp(0, 1) * 255).round().to(torch.uint8)
    file = io.BytesIO()
    Image.fromarray(rgb.permute(1, 2, 0).contiguous().numpy()).save(file, kind, **options)
    return file.getvalue()


def _picture(content: bytes) -> Tensor:
    """[3, H, W] uint8."""
    with Image.open(io.BytesIO(content), formats=["PNG", "WEBP"]) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
