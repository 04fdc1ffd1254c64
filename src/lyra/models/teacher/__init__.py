"""The teacher: a camera-controlled video diffusion model conditioned through the 3D cache."""

from lyra.models.teacher.config import TeacherConfig, nano, official
from lyra.models.teacher.inputs import TeacherInputs, pool_mask
from lyra.models.teacher.model import Teacher
from lyra.models.teacher.published import PublishedInputs, PublishedTeacher, frame_noise

__all__ = [
    "PublishedInputs",
    "PublishedTeacher",
    "Teacher",
    "TeacherConfig",
    "TeacherInputs",
    "frame_noise",
    "nano",
    "official",
    "pool_mask",
]
