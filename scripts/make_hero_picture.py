"""Make the first picture of the README: a photo, and its scene from the left, from the right and from nearer.

make demo
python scripts/make_hero_picture.py out/demo examples/photos/drawing_room.jpg -o docs/images/hero.jpg
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

import lyra
from lyra.io import fit_photo, read_photo, read_trajectories, save_image


def main() -> None:
    """Render three cameras beside the photo and save the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=Path)
    parser.add_argument("photo", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    scene = lyra.load_scene(given.scene)
    paths = {path.name: path.cameras for path in read_trajectories(given.scene)}

    height, width = scene.source.height, scene.source.width

    def seen(name: str, frame: int) -> Tensor:
        return lyra.render(scene.gaussians[0], paths[name][frame].resized(height, width)).rgb[0].clamp(0, 1)

    small = next(iter(paths.values()))  # trajectories have the networks' size, of which the scene's is a multiple
    factor = height // small.height
    photo, _ = fit_photo(read_photo(given.photo).frames.rgb[0], small.height, small.width, "crop", factor)
    rows = ((photo, seen("left", 10)), (seen("right", 16), seen("zoom_in", 8)))
    save_image(given.out, torch.cat([torch.cat(row, dim=2) for row in rows], dim=1))


if __name__ == "__main__":
    main()
