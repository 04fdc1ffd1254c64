"""Compose the README's picture: the input photo, then the scene from three cameras that the photo never saw."""

import argparse
from pathlib import Path

import torch

from lyra.geometry.trajectories import plan_six
from lyra.io.images import fit_photo, nano_grid, read_photo, save_image
from lyra.io.scene_folder import load_scene
from lyra.raster import render


def main() -> None:
    """Read a photo and its scene folder, write one PNG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("scene", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    photo = read_photo(arguments.photo).frames
    height, width = nano_grid(photo.width, photo.height)
    pictures = [fit_photo(photo.rgb[0], height, width)[0]]
    scene = load_scene(arguments.scene)
    paths = {path.name: path for path in plan_six(17, scene.source)}
    for name in ("left", "right", "zoom_in"):
        pictures.append(render(scene.gaussians[0], paths[name].cameras[16]).rgb[0].clamp(0, 1))
    top, bottom = torch.cat(pictures[:2], dim=2), torch.cat(pictures[2:], dim=2)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_image(arguments.out, torch.cat([top, bottom], dim=1))


if __name__ == "__main__":
    main()
