"""Moving scenes that the teacher imagined twice: as they are, and played backwards (motion-reversed supervision)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lyra.models.depth import DepthNet, aligned_depth
from lyra.models.teacher import Teacher
from lyra.models.tokenizer import FrameDecoder, Tokenizer
from lyra.stages.background import behind
from lyra.stages.frames import decode_frames
from lyra.structures import Cameras, Frames, Gaussians, Views
from lyra.training.caches import moving_caches
from lyra.training.device_data import PathBank
from lyra.training.imagined_latents import imagine_latents


@dataclass
class MovingScenes:
    """B scenes of T moments, seen in V clips and, played backwards and turned round again, in V more.

    Frame i of every clip shows moment i. In the first V clips the cameras are farthest away at the end, in the others
    at the beginning, so that every moment is seen from near and from far.

    Attributes:
        latents: [B, V, C, t, h, w] unnormalised, of the first V clips: what the decoder sees.
        frames: [B, 2 V, T, 3, H, W] uint8, the teacher's pictures: the targets.
        c2w: [B, 2 V, T, 4, 4] in the source camera's frame.
        source: [B, T, 3, H, W] uint8, the clip it began with, taken from a tripod.
        depth: [B, T, H, W] float16 z of the source.
        K: [B, 3, 3] pixels.
        anchor_depth: [B, V, A, H, W] float16 z of the first clips at the decoder's later anchor frames.
        anchor_visible: [B, V, A, H, W] bool.
    """

    latents: Tensor
    frames: Tensor
    c2w: Tensor
    source: Tensor
    depth: Tensor
    K: Tensor
    anchor_depth: Tensor
    anchor_visible: Tensor

    def tensors(self) -> list[Tensor]:
        """The fields in order."""
        return [getattr(self, name) for name in self.__dataclass_fields__]

    def pick(self, index: Tensor) -> "MovingScenes":
        """The scenes ``index`` [B]."""
        return MovingScenes(*(part[index] for part in self.tensors()))

    def views(self, item: int) -> Views:
        """The source clip of one scene, with its depth and cameras."""
        rgb, depth = self.source[item].float() / 255, self.depth[item].float()
        count, height, width = depth.shape
        eye = torch.eye(4, device=depth.device).repeat(count, 1, 1)
        cameras = Cameras(eye, self.K[item].expand(count, 3, 3), height, width)
        return Views(Frames(rgb), depth, torch.ones_like(depth, dtype=torch.bool), cameras)


@torch.no_grad()
def imagine_moving_scenes(
    source: Tensor,
    depth: Tensor,
    K: Tensor,
    paths: PathBank,
    views: int,
    anchors: Sequence[int],
    tokenizer: Tokenizer,
    depth_net: DepthNet,
    teacher: Teacher,
    steps: int,
    frame_decoder: FrameDecoder | None = None,
) -> MovingScenes:
    """Run the road up to latents for B clips, forwards and backwards.

    The published generator turns the pictures of its reversed clips round again and leaves their poses as they were;
    here poses stay with their pictures, as in `lyra.data.reverse`.

    Args:
        source: [B, T, 3, H, W] clips 0…1 of a camera that stands still.
        depth: [B, T, H, W] their z.
        K: [B, 3, 3] intrinsics.
        paths: camera paths to draw from.
        views: V.
        anchors: frames of the decoder's later anchors, rising.
        tokenizer, depth_net, teacher, frame_decoder: networks.
        steps: denoising steps.
    """
    batch, length = source.shape[:2]
    c2w = paths.draw(batch, views)
    parts = []
    for way in (1, -1):
        pictures, z = (source, depth) if way > 0 else (source.flip(1), depth.flip(1))
        parts.append(_imagined(pictures, z, K, c2w, tokenizer, teacher, steps, frame_decoder))
    latents, frames, cache_depth, mask = parts[0]
    depths = [aligned_depth(depth_net, frames[:, frame], cache_depth[:, frame], mask[:, frame]) for frame in anchors]

    def per_scene(tensor: Tensor) -> Tensor:
        return tensor.unflatten(0, (batch, views))

    both = torch.cat([per_scene(frames), per_scene(parts[1][1].flip(1))], dim=1)
    return MovingScenes(
        latents=per_scene(latents.float()),
        frames=(both * 255).round().to(torch.uint8),
        c2w=torch.cat([c2w, c2w.flip(2)], dim=1),
        source=(source * 255).round().to(torch.uint8),
        depth=depth.half(),
        K=K,
        anchor_depth=per_scene(torch.stack(depths, dim=1).half()),
        anchor_visible=per_scene(mask[:, list(anchors)]),
    )


def _imagined(
    source: Tensor,
    depth: Tensor,
    K: Tensor,
    c2w: Tensor,
    tokenizer: Tokenizer,
    teacher: Teacher,
    steps: int,
    frame_decoder: FrameDecoder | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Latents, pictures [B V, T, 3, H, W], and depth and visibility of the 4D cache."""
    views = c2w.shape[1]
    scene = torch.arange(len(source), device=source.device).repeat_interleave(views)
    warped, seen, mask = moving_caches(source, depth, K, c2w)
    with torch.autocast(source.device.type, dtype=torch.bfloat16, enabled=source.device.type == "cuda"):
        latents = imagine_latents(teacher, tokenizer, source[scene, 0], warped, mask, steps)
        frames = decode_frames(latents, warped, mask, tokenizer, frame_decoder, together=6)
    return latents, frames, seen, mask


def fitting(gaussians: Gaussians, views: Views, moment: int) -> Tensor:
    """[N] 1 where the source picture of a moment does not contradict a Gaussian, else 0; without a gradient."""
    with torch.no_grad():
        return behind(gaussians, views, moment).to(gaussians.opacities)
