"""Scenes that were imagined beforehand: batches out of a store, in the form of those imagined on the spot."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.data import CorruptRecordError, LatentSpace, open_records
from lyra.geometry.cameras import compose, invert_rigid
from lyra.models.depth import DepthNet, aligned_depth
from lyra.models.tokenizer import FrameDecoder, Tokenizer
from lyra.stages.frames import decode_frames
from lyra.stages.warp import warp_clips
from lyra.structures import Frames, InputError, Latents, SceneRecord, Views
from lyra.training.caches import still_caches
from lyra.training.imagined_scenes import ImaginedScenes


class StoredScenes:
    """Batches of a store's records in random order, each record once before any comes again.

    What batch number n holds depends on the store, the seed and n alone, so a resumed run sees what an uninterrupted
    one would have seen. Damaged records and those of another shape are left out, and the next one takes their place.
    Caches are warped anew; pictures that a record does not keep are decoded from its latents. Where smaller pictures
    are asked for, the clips are decoded, reduced and encoded again.

    Args:
        folder: a store, or data in the published layout.
        tokenizer, depth_net: networks on the device of the batches; the store must hold latents of this tokenizer.
        anchor_frames: frames that carry Gaussians.
        views: clips taken of each record, its first ones.
        frames: T of the clips.
        height, width: size of the pictures, that of the records or a whole part of it.
        seed: of the order.
        share: (this process, number of processes): each sees other records.
        report: told about each record that is left out.
        frame_decoder: makes pixels where a record keeps none; ``None`` for the tokenizer's own decoder.

    Raises:
        InputError: no usable store, or none of its records fits.
    """

    def __init__(
        self,
        folder: Path,
        tokenizer: Tokenizer,
        depth_net: DepthNet,
        anchor_frames: Sequence[int],
        views: int,
        frames: int,
        height: int,
        width: int,
        seed: int = 0,
        share: tuple[int, int] = (0, 1),
        report: Callable[[str], None] = print,
        frame_decoder: FrameDecoder | None = None,
    ) -> None:
        self.source = open_records(folder, LatentSpace.of(tokenizer))
        self.tokenizer, self.depth_net = tokenizer, depth_net
        self.device = next(depth_net.parameters()).device
        self.anchor_frames, self.views, self.frames, self.size = tuple(anchor_frames), views, frames, (height, width)
        self.seed, self.share, self.report = seed, share, report
        self.frame_decoder = frame_decoder
        self._left_out: set[str] = set()
        self._reader = ThreadPoolExecutor(1, "lyra-store")
        self._ahead: dict[tuple[int, int], Future[list[SceneRecord]]] = {}
        self._records(0, 1)  # finds out at once whether there is anything to train on

    @torch.no_grad()
    def batch(self, number: int, count: int) -> ImaginedScenes:
        """``count`` scenes; the records of the next number are read in the meantime."""
        reading = self._ahead.pop((number, count), None)
        records = self._records(number, count) if reading is None else reading.result()
        self._ahead = {(number + 1, count): self._reader.submit(self._records, number + 1, count)}
        return self._assemble([self._fitted(record.to(self.device)) for record in records])

    def _records(self, number: int, count: int) -> list[SceneRecord]:
        first = (number * self.share[1] + self.share[0]) * count
        return [self._record(place) for place in range(first, first + count)]

    def _record(self, place: int) -> SceneRecord:
        """The record at a place of the endless order, or the next one that can be used."""
        keys = self.source.keys()
        for offset in range(2 * len(keys)):  # two rounds meet every record, wherever they begin
            turn, index = divmod(place + offset, len(keys))
            order = torch.randperm(len(keys), generator=torch.Generator().manual_seed(self.seed * 1_000_003 + turn))
            record = self._read(keys[int(order[index])])
            if record is not None:
                return record
        raise InputError(
            f"{self.source.folder} has no record to train on that holds {self.views} clips of {self.frames} frames at "
            f"{self.size[0]} x {self.size[1]}; give another --store"
        )

    def _read(self, key: str) -> SceneRecord | None:
        if key in self._left_out:
            return None
        try:
            record = self.source.read(key)
            self._require_fitting(record)
        except CorruptRecordError as fault:
            self._left_out.add(key)
            self.report(f"left out: {fault}")
            return None
        return record

    def _require_fitting(self, record: SceneRecord) -> None:
        cameras = record.latents.trajectories[0].cameras
        height, width = self.size
        shapes = {(path.cameras.height, path.cameras.width) for path in record.latents.trajectories}
        divisor = cameras.height // height
        if shapes != {(divisor * height, divisor * width)} or divisor < 1:
            raise CorruptRecordError(f"record {record.key} is {cameras.height} x {cameras.width} pixels")
        if len(record.latents.z) < self.views or len(cameras) != self.frames:
            raise CorruptRecordError(f"record {record.key} has {len(record.latents.z)} clips of {len(cameras)} frames")
        if not bool(record.views.mask.any()):
            raise CorruptRecordError(f"record {record.key} has no depth of its source")

    def _fitted(self, record: SceneRecord) -> SceneRecord:
        """The record with ``views`` clips of ``size``, and with their pictures."""
        z, paths = record.latents.z[: self.views], record.latents.trajectories[: self.views]
        half = torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda")
        if record.frames is not None:
            frames = record.frames[: self.views]
        else:
            c2w, K = self._cameras(record)
            first = record.views
            warped, _, mask = still_caches(first.frames.rgb[:1], first.depth[:1], K[:1], c2w[None], first.mask[:1])
            with half:
                clips = decode_frames(z, warped, mask, self.tokenizer, self.frame_decoder, together=len(z))
            frames = (clips * 255).round().to(torch.uint8)
        views = record.views
        if tuple(frames.shape[-2:]) != self.size:
            small = F.interpolate(frames.flatten(0, 1).float() / 255, self.size, mode="area").unflatten(
                0, frames.shape[:2]
            )
            with half:
                z = self.tokenizer.encode(small.transpose(1, 2)).float()
            frames = (small * 255).round().to(torch.uint8)
            paths = tuple(replace(path, cameras=path.cameras.resized(*self.size)) for path in paths)
            step = views.frames.height // self.size[0]
            views = Views(
                Frames(F.interpolate(views.frames.rgb, self.size, mode="area")),
                views.depth[:, step // 2 :: step, step // 2 :: step],  # a mean of depths would lie between surfaces
                views.mask[:, step // 2 :: step, step // 2 :: step],
                views.cameras.resized(*self.size),
            )
        latents = Latents(z, paths, record.latents.tokenizer)
        return SceneRecord(record.key, latents, views, frames)

    def _cameras(self, record: SceneRecord) -> tuple[Tensor, Tensor]:
        """Poses [V, T, 4, 4] in the source camera's frame, and intrinsics [V, 3, 3], of the clips that are taken."""
        paths = [path.cameras for path in record.latents.trajectories[: self.views]]
        to_source = invert_rigid(record.views.cameras.c2w[0])
        return compose(to_source, torch.stack([path.c2w for path in paths])), torch.stack([path.K[0] for path in paths])

    def _assemble(self, records: list[SceneRecord]) -> ImaginedScenes:
        """The batch that `imagine_scenes` would have made of the same pictures, paths and latents."""
        source = torch.stack([record.views.frames.rgb[0] for record in records])
        depth = torch.stack([record.views.depth[0] for record in records])
        valid = torch.stack([record.views.mask[0] for record in records])
        c2w, K = (torch.stack(column) for column in zip(*(self._cameras(record) for record in records), strict=True))
        scene = torch.arange(len(records), device=self.device).repeat_interleave(self.views)
        _, cache_depth, mask = warp_clips(source[scene], depth[scene], K.flatten(0, 1), c2w.flatten(0, 1), valid[scene])
        frames = torch.cat([record.frames for record in records if record.frames is not None])
        depths = []
        for frame in self.anchor_frames:
            if frame == 0:
                depths.append(depth[scene])
            else:
                seen = frames[:, frame].float() / 255
                depths.append(aligned_depth(self.depth_net, seen, cache_depth[:, frame], mask[:, frame]))

        def per_scene(tensor: Tensor) -> Tensor:
            return tensor.unflatten(0, (len(records), self.views))

        return ImaginedScenes(
            latents=torch.stack([record.latents.z for record in records]),
            frames=per_scene(frames),
            source=(source * 255).round().to(torch.uint8),
            c2w=c2w,
            K=K,
            cache_depth=per_scene(torch.where(mask, cache_depth, 0.0).half()),
            anchor_depth=per_scene(torch.stack(depths, dim=1).half()),
            anchor_visible=per_scene(mask[:, list(self.anchor_frames)]),
        )
