"""The nouns: frozen values that travel between the rooms; no mathematics beyond slicing and moving."""

from lyra.structures.cameras import Cameras
from lyra.structures.conditioning import Conditioning
from lyra.structures.errors import InputError
from lyra.structures.frames import Frames
from lyra.structures.gaussians import Gaussians
from lyra.structures.latents import Latents
from lyra.structures.mesh import Mesh
from lyra.structures.record import SceneRecord
from lyra.structures.rendering import Rendering
from lyra.structures.scene import Scene
from lyra.structures.shapes import check_shapes
from lyra.structures.text import Text
from lyra.structures.trajectory import Trajectory
from lyra.structures.views import Views

__all__ = [
    "Cameras",
    "Conditioning",
    "Frames",
    "Gaussians",
    "InputError",
    "Latents",
    "Mesh",
    "Rendering",
    "Scene",
    "SceneRecord",
    "Text",
    "Trajectory",
    "Views",
    "check_shapes",
]
