"""The teacher: a camera-controlled video diffusion model conditioned through the 3D cache."""

from lyra.models.teacher.config import TeacherConfig, nano, official
from lyra.models.teacher.guidance import require_text, text_denoiser
from lyra.models.teacher.inputs import TeacherInputs, empty_cache, pool_mask
from lyra.models.teacher.model import Teacher
from lyra.models.teacher.published import PublishedInputs, PublishedTeacher, frame_noise
from lyra.models.teacher.swift import SwiftTeacher

__all__ = [
    "PublishedInputs",
    "PublishedTeacher",
    "SwiftTeacher",
    "Teacher",
    "TeacherConfig",
    "TeacherInputs",
    "empty_cache",
    "frame_noise",
    "nano",
    "official",
    "pool_mask",
    "require_text",
    "text_denoiser",
]
