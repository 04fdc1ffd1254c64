"""From a seed to a world: layout, camera, light, motion, words."""

import math
import random

import numpy as np

from lyra.worlds.layout.assemblies import assembly
from lyra.worlds.layout.builder import Builder
from lyra.worlds.layout.cities import city
from lyra.worlds.layout.clearance import clear_the_way, has_room
from lyra.worlds.layout.closeups import closeup
from lyra.worlds.layout.forests import forest
from lyra.worlds.layout.lakes import lake
from lyra.worlds.layout.landscapes import landscape
from lyra.worlds.layout.lighting import choose_light
from lyra.worlds.layout.mountains import mountain
from lyra.worlds.layout.movers import add_mover
from lyra.worlds.layout.parks import park
from lyra.worlds.layout.rooms import room
from lyra.worlds.layout.stage import Stage
from lyra.worlds.layout.streets import courtyard, street
from lyra.worlds.layout.tabletops import tabletop
from lyra.worlds.layout.visible import describe
from lyra.worlds.textures import SPLITS, Catalogue, Split, TextureSet
from lyra.worlds.world import SPIN, SWAY, SWING, VELOCITY, World

_LAYOUTS = {
    "room": (room, 0.19), "street": (street, 0.1), "courtyard": (courtyard, 0.05), "landscape": (landscape, 0.08),
    "tabletop": (tabletop, 0.08), "closeup": (closeup, 0.16), "lake": (lake, 0.07), "forest": (forest, 0.08),
    "mountain": (mountain, 0.06), "park": (park, 0.07), "city": (city, 0.06),
}  # fmt: skip
KINDS: tuple[str, ...] = tuple(_LAYOUTS)
_WEIGHTS = tuple(weight for _, weight in _LAYOUTS.values())
ABSTRACT = "assembly"
"""A kind that only those get who ask for it: things in no order, without words."""
_ATTEMPTS = 8
_MOST_PRIMITIVES = 128
_MOTION = (*range(VELOCITY.start, VELOCITY.stop), SPIN, SWING, *range(SWAY.start, SWAY.stop))


def sample_world(seed: int, split: Split, textures: TextureSet | Catalogue, kind: str | None = None) -> World:
    """Build the world of a seed; the seeds of different splits lead to different worlds.

    Args:
        seed: any integer.
        split: train, val or test; it should be that of ``textures``.
        textures: the textures or just their catalogue.
        kind: one of KINDS, or ABSTRACT; ``None`` draws one of KINDS.

    Raises:
        ValueError: unknown split or kind.
    """
    if split not in SPLITS:
        raise ValueError(f"sample_world: split {split!r} is not one of {', '.join(SPLITS)}")
    if kind is not None and kind not in (*KINDS, ABSTRACT):
        raise ValueError(f"sample_world: kind {kind!r} is not one of {', '.join(KINDS)}")
    catalogue = textures.catalogue if isinstance(textures, TextureSet) else textures
    generator = random.Random(f"{split}/{seed}")
    drawn = generator.choices(KINDS, _WEIGHTS)[0]
    for _ in range(_ATTEMPTS):
        build = Builder(generator, catalogue)
        stage = assembly(build) if kind == ABSTRACT else _LAYOUTS[kind or drawn][0](build)
        fov = math.radians(build.uniform(*stage.fov))
        light, time_of_day = choose_light(build, stage)
        moving = add_mover(build, stage) or stage.moving
        c2w = camera_pose(stage, generator.gauss(0.0, 0.012))
        table = clear_the_way(build.table(), c2w, fov)
        if len(table.rows) <= _MOST_PRIMITIVES and has_room(table, c2w, fov):
            break
    return World(
        seed=seed,
        split=split,
        description=describe(build, stage, table, c2w, fov, time_of_day, moving),
        primitives=table.rows,
        counts=table.counts,
        light=light,
        source_c2w=c2w,
        fov=fov,
        moving=bool(table.rows[:, list(_MOTION)].any()),
    )


def camera_pose(stage: Stage, roll: float) -> np.ndarray:
    """[4, 4] float32 camera-to-world of a stage's camera."""
    s, c = math.sin(stage.yaw), math.cos(stage.yaw)
    sp, cp = math.sin(stage.pitch), math.cos(stage.pitch)
    right = np.array([c, 0.0, -s])
    forward = np.array([s * cp, sp, c * cp])
    down = np.cross(forward, right)
    sr, cr = math.sin(roll), math.cos(roll)
    c2w = np.eye(4)
    c2w[:3, 0] = cr * right + sr * down
    c2w[:3, 1] = cr * down - sr * right
    c2w[:3, 2] = forward
    c2w[:3, 3] = (stage.eye[0], -stage.eye[1], stage.eye[2])
    return c2w.astype(np.float32)
