"""A record comes back as it was, up to the precision that the docstring promises; damage is noticed."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from lyra.data import CorruptRecordError, safe_name
from lyra.data.record_codec import pack_record, unpack_record
from lyra.metrics import psnr
from lyra.structures import SceneRecord

Maker = Callable[..., SceneRecord]


@pytest.mark.parametrize(("sources", "moving"), [(1, False), (9, True)], ids=["photo", "clip"])
def test_a_record_comes_back(record: Maker, sources: int, moving: bool) -> None:
    before = record("a-b_1", seed=3, sources=sources, moving=moving)
    members = pack_record(before)
    assert list(members)[-1] == "json"
    after = unpack_record("a-b_1", members, "here")
    assert (after.latents.z - before.latents.z).abs().max() <= 3 * 2**-11  # half an fp16 step below 4 is 2^-10
    assert after.latents.tokenizer == "toy" and after.meta == {"seed": 3}
    for a, b in zip(after.latents.trajectories, before.latents.trajectories, strict=True):
        assert (a.name, a.strength) == (b.name, b.strength)
        assert torch.equal(a.cameras.c2w, b.cameras.c2w) and torch.equal(a.cameras.K, b.cameras.K)
        assert (a.cameras.height, a.cameras.width) == (16, 24)
    assert (after.views.frames.rgb - before.views.frames.rgb).abs().max() <= 0.5 / 255 + 1e-6
    assert after.views.frames.fps == before.views.frames.fps
    assert torch.equal(after.views.depth, before.views.depth) and torch.equal(after.views.mask, before.views.mask)
    assert torch.equal(after.views.cameras.c2w, before.views.cameras.c2w)
    assert torch.allclose(after.depth, before.depth, rtol=2**-11) and torch.equal(after.mask, before.mask)
    assert (
        float(psnr(after.frames.flatten(0, 1) / 255, before.frames.flatten(0, 1) / 255).min()) > 32
    )  # wild colours; real clips 43
    assert moving is (after.times is not None)
    assert not moving or torch.equal(after.times, before.times)


def test_pictures_are_kept_and_decoded_only_where_wanted(record: Maker) -> None:
    full = record("a")
    assert not any(name.endswith("webp") for name in pack_record(full, rgb=False))
    assert unpack_record("a", pack_record(full, rgb=False), "here").frames is None
    assert unpack_record("a", pack_record(full), "here", rgb=False).frames is None
    bare = unpack_record("a", pack_record(replace(full, depth=None, mask=None, frames=None)), "here")
    assert bare.depth is None and bare.mask is None and bare.frames is None


def test_the_same_record_gives_the_same_bytes(record: Maker) -> None:
    assert pack_record(record("a", 5)) == pack_record(record("a", 5))
    assert pack_record(record("a", 5)) != pack_record(record("a", 6))


@pytest.mark.parametrize("member", ["safetensors", "png", "left.0003.webp", "json"])
@pytest.mark.parametrize("damage", ["changed", "gone", "short"])
def test_damage_is_noticed(record: Maker, member: str, damage: str) -> None:
    members = pack_record(record("a"))
    content = members.pop(member)
    if damage == "changed":
        middle = len(content) // 2
        members[member] = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        if member == "json":
            members[member] = content.replace(b'"format": 1', b'"format": 9')
    elif damage == "short":
        members[member] = content[:-1]
    with pytest.raises(CorruptRecordError, match=r"shard.tar: record a is damaged, .*; restore the file from a copy"):
        unpack_record("a", members, "shard.tar")


def test_members_of_another_record_are_noticed(record: Maker) -> None:
    with pytest.raises(CorruptRecordError, match="record a is damaged, it calls itself b"):
        unpack_record("a", pack_record(record("b")), "shard.tar")


def test_parts_that_do_not_fit_each_other_are_noticed(record: Maker) -> None:
    members = pack_record(record("a"))
    about = json.loads(members["json"])
    about["names"] = ["left"]
    with pytest.raises(CorruptRecordError, match="its parts do not fit"):
        unpack_record("a", {**members, "json": json.dumps(about).encode()}, "shard.tar")


def test_what_a_sample_cannot_hold_is_refused(record: Maker) -> None:
    for name in ("a.b", "a/b", "", "x" * 49, "ä"):
        with pytest.raises(ValueError, match="letters, digits"):
            pack_record(record(name))
    for value in (float("nan"), 1e6):
        sick = record("a")
        sick.latents.z[0, 0, 0, 0, 0] = value
        with pytest.raises(ValueError, match="not finite in fp16"):
            pack_record(sick)


@pytest.mark.parametrize(
    ("text", "name"), [("IMG 01 (2).final", "IMG_01_2_final"), ("été", "t"), ("…", "_"), ("x" * 60, "x" * 48)]
)
def test_any_text_has_a_safe_name(text: str, name: str) -> None:
    assert safe_name(text) == name
