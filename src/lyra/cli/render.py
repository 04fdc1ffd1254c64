"""``lyra render``: film a scene."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from lyra.cli.checks import require_device, require_output_file
from lyra.cli.sizes import seconds

if TYPE_CHECKING:
    from torch import Tensor

    from lyra.structures import Cameras, Scene


@dataclass(frozen=True)
class Render:
    """Film a scene along a camera path.

    lyra render out/photo --path orbit -o orbit.mp4
    lyra render out/photo --path left,zoom_in -o tour.mp4
    lyra render scene.ply --path my_path.json -o mine.mp4 --height 512 --width 896
    """

    scene: Annotated[Positional[Path], arg(metavar="SCENE")]
    """Scene folder, or a file of Gaussians: .ply, compressed .ply, .splat, .spz, .sog, .glb, .usdc."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    """Video to write (.mp4)."""
    path: Annotated[str, arg(metavar="PATH")] = "orbit"
    """orbit, spiral, trajectory names separated by commas, or a file with cameras (.json or .npz)."""
    height: Annotated[int | None, arg(metavar="PIXELS", help_behavior_hint="")] = None
    """Height of the video, even; by default that of the scene's source camera."""
    width: Annotated[int | None, arg(metavar="PIXELS", help_behavior_hint="")] = None
    """Width of the video, even; by default in proportion."""
    frames: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Frames of the tour, or of each named trajectory; by default 48. A path file is taken as it is."""
    fps: float = 24.0
    """Frames per second."""
    strength: float = 1.0
    """Factor on how far the cameras move."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to render."""

    def run(self) -> int:
        """Check, render frame by frame, write the video."""
        start = time.perf_counter()
        require_device(self.device)
        require_output_file(self.out, (".mp4",))

        from lyra.cli.camera_paths import cameras_along, video_size
        from lyra.io.scene_folder import load_scene
        from lyra.io.video import write_video
        from lyra.pipeline import resolve_device
        from lyra.structures import InputError

        if not 1 <= self.fps <= 240:
            raise InputError(f"fps {self.fps:g} is outside 1…240")
        device = resolve_device(self.device)
        scene = load_scene(self.scene)
        height, width = video_size(scene.source, self.height, self.width)
        cameras = cameras_along(self.path, scene.source, self.frames, self.strength).resized(height, width)
        write_video(self.out, _film(scene.to(device), cameras.to(device)), self.fps)
        print(f"video      {self.out}")
        print(f"frames     {len(cameras)} of {width} x {height}")
        print(f"time       {seconds(time.perf_counter() - start)} in all")
        return 0

    def interrupted(self) -> str:
        """The video appears only at the end."""
        return "nothing was written"


def _film(scene: "Scene", cameras: "Cameras") -> "Tensor":
    """[T, 3, H, W] on the CPU; a scene of several times plays once over the path."""
    import torch

    from lyra.raster import render

    sets, count = scene.gaussians, len(cameras)
    frames = [render(sets[index * len(sets) // count], cameras[index]).rgb.cpu() for index in range(count)]
    return torch.cat(frames)
