"""Cameras of a clip by COLMAP, through the package pycolmap (extra ``colmap``), which only this module imports."""

import contextlib
import importlib.util
import tempfile
from pathlib import Path
from typing import Literal

from torch import Tensor

from lyra.geometry import compose, invert_rigid
from lyra.io.colmap_model import read_colmap_model
from lyra.io.images import save_image
from lyra.io.video_clip import ClipPlan, read_clip
from lyra.structures import Cameras, InputError


def require_pycolmap() -> None:
    """Refuse to go on without the package.

    Raises:
        InputError: it is not installed; the message has the line that installs it.
    """
    if importlib.util.find_spec("pycolmap") is None:
        raise InputError("--cameras colmap needs the package pycolmap; pip install 'lyra-scenes[colmap]'")


def cameras_by_colmap(
    plan: ClipPlan, height: int, width: int, mode: Literal["crop", "pad"] = "crop", K: Tensor | None = None
) -> Cameras | None:
    """Cameras of the fitted frames of a plan, as `place_by_colmap`."""
    require_pycolmap()
    frames = read_clip(plan, height, width, mode).frames.rgb
    return place_by_colmap(frames, K)


def place_by_colmap(frames: Tensor, K: Tensor | None = None) -> Cameras | None:
    """Cameras of pictures by features, matches and incremental mapping.

    Args:
        frames: [T, 3, H, W] 0…1.
        K: [3, 3] intrinsics, which are then kept; None to find a focal length as well.

    Returns:
        T cameras, the first at the identity, lengths in COLMAP's own scale; None where it does not place every frame.
    """
    require_pycolmap()
    import pycolmap

    height, width = frames.shape[-2:]
    pycolmap.logging.minloglevel = 3
    with tempfile.TemporaryDirectory() as place, contextlib.suppress(RuntimeError, ValueError):
        root = Path(place)
        pictures, database = root / "frames", root / "database.db"
        for number, picture in enumerate(frames):
            save_image(pictures / f"{number:05d}.png", picture)
        reader = pycolmap.ImageReaderOptions(camera_model="PINHOLE" if K is not None else "SIMPLE_PINHOLE")
        mapper = pycolmap.IncrementalPipelineOptions()
        mapper.min_model_size = 2
        if K is not None:
            reader.camera_params = ",".join(str(float(K[i, j])) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
            mapper.ba_refine_focal_length = False
        mapper.ba_refine_extra_params = False
        pycolmap.extract_features(
            database, pictures, camera_mode=pycolmap.CameraMode.SINGLE, reader_options=reader,
            device=pycolmap.Device.cpu,
        )  # fmt: skip
        pycolmap.match_exhaustive(database, device=pycolmap.Device.cpu)
        models = pycolmap.incremental_mapping(database, pictures, root / "models", mapper)
        best = max(models.values(), key=lambda model: model.num_reg_images(), default=None)
        if best is None or best.num_reg_images() < len(frames):
            return None
        (root / "best").mkdir()
        best.write(root / "best")
        model = read_colmap_model(root / "best")
        c2w = compose(invert_rigid(model.c2w[:1]), model.c2w)
        return Cameras(c2w.float(), model.K.float(), height, width)
    return None
