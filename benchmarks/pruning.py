"""What fewer Gaussians cost: ``python benchmarks/pruning.py [--split val] [--count 4] [--device D] [--json FILE]``.

The embedded networks make the scenes of unseen worlds once. The decoder's set is then cut in several ways, and so is
the finished scene before it is recoloured; what is left is compared with the teacher's frames, with the true views,
and with the photo.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from lyra.evaluation.unseen import departs, path_generator, picture_world, scored_frames
from lyra.metrics import psnr
from lyra.pipeline import FRAMES, Pipeline, resolve_device, warp_along
from lyra.raster import render
from lyra.stages import ThinConfig, cover, decode, imagine, plan, refine, thin
from lyra.stages.decode_moving import MIN_OPACITY
from lyra.structures import Scene, Trajectory
from lyra.worlds import load_textures

BUDGETS = (200_000, 150_000, 120_000)
STRIDE = 5


def most_opaque(scene: Scene, count: int) -> Scene:
    """As the decoder prunes in training."""
    gaussians = scene.gaussians[0]
    kept = gaussians.opacities.sort(descending=True, stable=True).indices[:count].sort().values
    return replace(scene, gaussians=(gaussians[kept],))


def cuts(whole: Scene, covered: Scene, paths: tuple[Trajectory, ...]) -> Iterator[tuple[str, Scene, bool]]:
    """Name, what is left, and whether it is a finished scene and recoloured."""
    yield "decoder, all", whole, False
    visible = whole.gaussians[0].opacities >= MIN_OPACITY
    yield f"decoder, opacity from {MIN_OPACITY}", replace(whole, gaussians=(whole.gaussians[0][visible],)), False
    for most in BUDGETS:
        yield f"decoder, {most // 1000}k most opaque", most_opaque(whole, most), False
        yield f"decoder, {most // 1000}k that show most", thin(whole, paths, ThinConfig(most)), False
    yield "scene, all", covered, True
    for most in BUDGETS:
        yield f"scene, {most // 1000}k most opaque", most_opaque(covered, most), True
        yield f"scene, {most // 1000}k that show most", thin(covered, paths, ThinConfig(most)), True


@torch.no_grad()
def one_world(index: int, pipeline: Pipeline, textures, store) -> dict[str, dict[str, float]]:
    world = picture_world(index, textures, store, (256, 448))
    estimate, _, _ = pipeline.depth_net.infer(world.rgb)
    views, chosen = world.views(estimate), torch.tensor(scored_frames(FRAMES, STRIDE))
    paths = plan(views, FRAMES, generator=path_generator(0, index))
    c2w = torch.stack([path.cameras.c2w for path in paths])[:, chosen].to(world.rgb.device)
    truth = world.film(c2w).rgb[0].clamp(0, 1)
    caches = warp_along(views, paths)
    latents = imagine(caches, pipeline.teacher, pipeline.tokenizer, None, 0)
    teacher = pipeline.imagine_frames(latents, caches).clamp(0, 1)
    networks = pipeline.decoder, pipeline.tokenizer, pipeline.depth_net
    whole = decode(views, latents, caches, teacher, *networks, min_opacity=0.0)
    usual = decode(views, latents, caches, teacher, *networks)
    covered = cover(usual, views, caches, teacher, pipeline.depth_net)
    rows = {}
    for name, scene, finished in cuts(whole, covered, paths):
        gaussians = (refine(scene, views, caches, teacher) if finished else scene).gaussians[0]
        columns: dict[str, list[float]] = {"teacher": [], "true": []}
        for view, path in enumerate(paths):
            images = render(gaussians, path.cameras[chosen]).rgb.clamp(0, 1)
            moved = departs(c2w[view])
            for kind, reference in (("teacher", teacher[view, chosen]), ("true", truth[view])):
                columns[kind] += psnr(images[moved], reference[moved]).tolist()
        own = psnr(render(gaussians, world.camera).rgb.clamp(0, 1), world.rgb)
        rows[name] = {kind: sum(values) / len(values) for kind, values in columns.items()}
        rows[name] |= {"photo": float(own), "gaussians": len(gaussians)}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--textures", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    device = resolve_device(arguments.device)
    pipeline = Pipeline.load(device)
    textures = load_textures(arguments.textures, arguments.split)
    store = textures.to(device)
    worlds = []
    for index in range(arguments.count):
        worlds.append(one_world(index, pipeline, textures, store))
        print(f"world {index + 1}/{arguments.count}", flush=True)
    print(f"{'PSNR against':32s} teacher    true   photo   Gaussians, mean and most")
    for name in worlds[0]:
        mean = {column: sum(world[name][column] for world in worlds) / len(worlds) for column in worlds[0][name]}
        most = max(world[name]["gaussians"] for world in worlds)
        print(
            f"{name:32s} {mean['teacher']:7.2f} {mean['true']:7.2f} {mean['photo']:7.2f}   "
            f"{mean['gaussians']:9,.0f} {most:9,.0f}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({"split": arguments.split, "worlds": worlds}, indent=1))


if __name__ == "__main__":
    main()
