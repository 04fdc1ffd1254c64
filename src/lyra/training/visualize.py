"""What a decoder has learned, as pictures and Gaussians of scenes that are the same for every decoder."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from lyra.geometry.cameras import invert_rigid
from lyra.io.images import save_image
from lyra.io.ply import write_ply
from lyra.metrics import psnr
from lyra.models.decoder import GaussianDecoder
from lyra.models.depth import DepthNet
from lyra.models.tokenizer import Tokenizer
from lyra.raster import RenderOptions, rasterize
from lyra.stages.decode import prepare_inputs
from lyra.structures import Gaussians, InputError
from lyra.training.device_data import PathBank, PhotoTiles, random_intrinsics
from lyra.training.imagined_scenes import ImaginedScenes, imagine_scenes
from lyra.training.networks import load_frame_decoder, load_part, load_start, load_teacher
from lyra.training.options import TrainOptions
from lyra.training.processes import training_device
from lyra.training.run_layout import STAGES
from lyra.training.world_feed import WorldFeed
from lyra.worlds import film_source, load_textures

FRAMES = 17
SEED = 17
MIN_OPACITY = 0.02
"""Fainter Gaussians are left out of the .ply, as ``lyra generate`` leaves them out."""


@torch.no_grad()
def visualize(
    model: str,
    out: Path,
    height: int = 256,
    width: int = 448,
    textures: Path | None = None,
    models: Path | None = None,
    device: str = "auto",
    notify: Callable[[str], None] = print,
) -> list[Path]:
    """Write, for a world and a photograph of the validation set, what a decoder makes of the teacher's clips.

    A folder per network: of a run, one for each stage that has ended and one for its newest checkpoint. In it lie
    ``world.ply`` and ``photo.ply``, and ``world.png`` and ``photo.png``: one row per clip, each with the source, the
    teacher's middle and last frame, and the renders of both.

    Args:
        model: a decoder, as ``load_start`` takes it.
        out: folder to write to.
        height, width: of the pictures.
        textures, models: folders, as in ``TrainOptions``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        notify: receives a line per network.

    Returns:
        The folders.

    Raises:
        InputError: no decoder there.
    """
    place = training_device(device)
    networks = decoders_of(model)
    options = TrainOptions("decoder", out, steps=1, textures=textures, models=models, height=height, width=width)
    tokenizer = load_part("tokenizer/nano", Tokenizer, options, place)
    anchors = next(iter(networks.values()))().config.anchor_frames
    scenes = _fixed_scenes(options, tokenizer, anchors, place)
    folders = []
    for name, load in networks.items():
        decoder = load().to(place).eval()
        if decoder.config.anchor_frames != anchors:
            raise InputError(f"{name} and the other stages stand on different frames; show them one by one")
        folders.append(out / name)
        score = _export(decoder, tokenizer, scenes, out / name)
        notify(f"{name}: {score:.2f} dB against the teacher's frames")
    return folders


def decoders_of(model: str) -> dict[str, Callable[[], GaussianDecoder]]:
    """Names and loaders of what ``model`` holds: the stages of a run in the order of their end, then the network."""
    found: dict[str, Callable[[], GaussianDecoder]] = {}
    stages = Path(model) / STAGES
    ended = sorted(stages.iterdir(), key=lambda path: path.stat().st_mtime) if stages.is_dir() else []
    for folder in ended:
        found[folder.name] = partial(load_start, str(folder), GaussianDecoder)
    name = Path(model).stem if Path(model).exists() else model.replace("/", "-")
    found[name] = partial(load_start, model, GaussianDecoder)
    return found


def _fixed_scenes(
    options: TrainOptions, tokenizer: Tokenizer, anchors: tuple[int, ...], device: torch.device
) -> ImaginedScenes:
    """Two scenes, six clips each: a world and a photograph that no training sees."""
    depth_net = load_part("depth/nano", DepthNet, options, device)
    teacher = load_teacher(tokenizer, options, device)
    frames = load_frame_decoder(tokenizer, options, device)
    textures = load_textures(options.textures, "val")
    torch.manual_seed(SEED)
    feed = WorldFeed(textures, "val", 1, 0, device, 0)
    world = film_source(feed.next(), textures.to(device), options.height, options.width)
    photo = PhotoTiles(textures, device).stills(1, options.height, options.width)
    K = torch.cat([world.K, random_intrinsics(1, options.height, options.width, device)])
    source = torch.cat([world.rgb.clamp(0, 1), photo])
    paths = PathBank(FRAMES, device, SEED)
    return imagine_scenes(source, K, paths, 6, anchors, tokenizer, depth_net, teacher, teacher.config.steps, frames)


def _export(decoder: GaussianDecoder, tokenizer: Tokenizer, scenes: ImaginedScenes, folder: Path) -> float:
    """Write the files of one network; returns the mean PSNR of its renders."""
    given = scenes.anchors(decoder.config.anchor_frames, clean_source=0 in decoder.config.anchor_frames)
    batch = decoder(prepare_inputs(decoder, tokenizer, scenes.latents, scenes.c2w, scenes.K, given))
    scores = []
    for item, name in enumerate(("world", "photo")):
        gaussians = batch.item(item)
        shown = [FRAMES // 2, FRAMES - 1]
        truth = scenes.frames[item, :, shown].float() / 255
        renders = _renders(gaussians, scenes.c2w[item, :, shown], scenes.K[item], *truth.shape[-2:])
        scores.append(psnr(renders.flatten(0, 1).clamp(0, 1), truth.flatten(0, 1)).mean())
        source = (scenes.source[item].float() / 255).expand(len(truth), 1, -1, -1, -1)
        rows = torch.cat([source, truth, renders], dim=1)  # [V, 5, 3, H, W]
        sheet = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
        save_image(folder / f"{name}.png", sheet)
        write_ply(folder / f"{name}.ply", gaussians[gaussians.opacities >= MIN_OPACITY])
    return float(torch.stack(scores).mean())


def _renders(gaussians: Gaussians, c2w: Tensor, K: Tensor, height: int, width: int) -> Tensor:
    """[V, F, 3, H, W] pictures from the cameras c2w [V, F, 4, 4] with intrinsics K [V, 3, 3]."""
    views, frames = c2w.shape[:2]
    rgb, _, _ = rasterize(
        gaussians.means,
        gaussians.quats,
        gaussians.scales,
        gaussians.opacities,
        gaussians.colors,
        invert_rigid(c2w.flatten(0, 1)),
        K[:, None].expand(-1, frames, -1, -1).flatten(0, 1),
        height,
        width,
        RenderOptions(),
    )
    return rgb.unflatten(0, (views, frames))
