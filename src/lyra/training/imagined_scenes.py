"""Scenes that the teacher imagined: the only material the decoder learns from."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lyra.models.depth import DepthNet, aligned_depth
from lyra.models.teacher import Teacher
from lyra.models.tokenizer import FrameDecoder, Tokenizer
from lyra.stages.decode import Anchors
from lyra.stages.frames import decode_frames
from lyra.training.caches import still_caches
from lyra.training.imagined_latents import imagine_latents


@dataclass
class ImaginedScenes:
    """A batch of B scenes with V views of T frames; every tensor on one device.

    Attributes:
        latents: [B, V, C, t, h, w] unnormalised.
        frames: [B, V, T, 3, H, W] uint8, the latents as pixels: the target of self-distillation.
        source: [B, 3, H, W] uint8, the picture it began with.
        c2w: [B, V, T, 4, 4] in the source camera's frame.
        K: [B, V, 3, 3] pixels.
        cache_depth: [B, V, T, H, W] float16 z of the cache, 0 in holes.
        anchor_depth: [B, V, A, H, W] float16 z at the anchor frames.
        anchor_visible: [B, V, A, H, W] bool.
    """

    latents: Tensor
    frames: Tensor
    source: Tensor
    c2w: Tensor
    K: Tensor
    cache_depth: Tensor
    anchor_depth: Tensor
    anchor_visible: Tensor

    def tensors(self) -> list[Tensor]:
        """The fields in order."""
        return [getattr(self, name) for name in self.__dataclass_fields__]

    def pick(self, index: Tensor, views: Tensor | None = None) -> "ImaginedScenes":
        """The scenes ``index`` [B], with the views ``views`` [V] only."""
        parts = {name: getattr(self, name)[index] for name in self.__dataclass_fields__}
        if views is not None:
            parts = {name: part if name == "source" else part[:, views] for name, part in parts.items()}
        return ImaginedScenes(**parts)

    def turned(self) -> "ImaginedScenes":
        """The same with rows and columns of every picture exchanged: portraits lie in a pool as landscapes do."""
        parts = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return ImaginedScenes(**{n: part if n in ("c2w", "K") else part.mT.contiguous() for n, part in parts.items()})

    def anchors(self, anchor_frames: tuple[int, ...], clean_source: bool) -> Anchors:
        """Anchors as the decoder takes them; with ``clean_source`` frame 0 shows the picture itself, not its decode."""
        rgb = self.frames[:, :, list(anchor_frames)].float() / 255
        if clean_source and 0 in anchor_frames:
            rgb[:, :, anchor_frames.index(0)] = self.source[:, None].float() / 255
        return Anchors(rgb, self.anchor_depth.float(), self.anchor_visible.float())


class Paths(Protocol):
    """Where camera paths come from."""

    def draw(self, scenes: int, views: int) -> Tensor:
        """[scenes, views, T, 4, 4] camera-to-world, in the source camera's frame."""


@torch.no_grad()
def imagine_scenes(
    source: Tensor,
    K: Tensor,
    paths: Paths,
    views: int,
    anchor_frames: tuple[int, ...],
    tokenizer: Tokenizer,
    depth_net: DepthNet,
    teacher: Teacher,
    steps: int,
    frame_decoder: FrameDecoder | None = None,
) -> ImaginedScenes:
    """Run the road up to latents for B pictures at once and decode them to pixels.

    Args:
        source: [B, 3, H, W] pictures 0…1.
        K: [B, 3, 3] their intrinsics.
        paths: camera paths to draw from.
        views: clips per scene.
        anchor_frames: frames that carry Gaussians.
        tokenizer, depth_net, teacher: networks.
        steps: denoising steps.
        frame_decoder: makes pixels of the latents; ``None`` for the tokenizer's own decoder.
    """
    batch = len(source)
    c2w = paths.draw(batch, views)
    half = torch.autocast(source.device.type, dtype=torch.bfloat16, enabled=source.device.type == "cuda")
    depth, _, _ = depth_net.infer(source)
    scene = torch.arange(batch, device=source.device).repeat_interleave(views)
    warped, cache_depth, mask = still_caches(source, depth, K, c2w)
    with half:
        latents = imagine_latents(teacher, tokenizer, source[scene], warped, mask, steps)
        frames = decode_frames(latents, warped, mask, tokenizer, frame_decoder, together=6)
    return gather_scenes(source, depth, K, c2w, latents, frames, cache_depth, mask, anchor_frames, depth_net)


def gather_scenes(
    source: Tensor,
    depth: Tensor,
    K: Tensor,
    c2w: Tensor,
    latents: Tensor,
    frames: Tensor,
    cache_depth: Tensor,
    mask: Tensor,
    anchor_frames: tuple[int, ...],
    depth_net: DepthNet,
) -> ImaginedScenes:
    """Put clips and caches together, with depth at the anchor frames.

    Args:
        source: [B, 3, H, W] first pictures 0…1.
        depth: [B, H, W] their depth.
        K: [B, 3, 3].
        c2w: [B, V, T, 4, 4].
        latents: [B V, C, t, h, w] unnormalised.
        frames: [B V, T, 3, H, W] 0…1.
        cache_depth, mask: [B V, T, H, W] z of the cache, and where it shows anything.
        anchor_frames: frames that carry Gaussians; the depth of all but the first frame is predicted and aligned.
        depth_net: predicts it.
    """
    batch, views = c2w.shape[:2]
    scene = torch.arange(batch, device=source.device).repeat_interleave(views)
    depths = []
    for frame in anchor_frames:
        if frame == 0:
            depths.append(depth[scene])
        else:
            depths.append(aligned_depth(depth_net, frames[:, frame], cache_depth[:, frame], mask[:, frame]))
    visible = mask[:, list(anchor_frames)]

    def per_scene(tensor: Tensor) -> Tensor:
        return tensor.unflatten(0, (batch, views))

    return ImaginedScenes(
        latents=per_scene(latents.float()),
        frames=per_scene((frames * 255).round().to(torch.uint8)),
        source=(source * 255).round().to(torch.uint8),
        c2w=c2w,
        K=per_scene(K[scene]),
        cache_depth=per_scene(torch.where(mask, cache_depth, 0.0).half()),
        anchor_depth=per_scene(torch.stack(depths, dim=1).half() if depths else cache_depth[:, :0].half()),
        anchor_visible=per_scene(visible),
    )
