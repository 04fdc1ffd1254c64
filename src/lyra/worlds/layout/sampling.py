"""From a seed to a world: layout, camera, light, motion, words."""

import math
import random

import numpy as np

from lyra.worlds.layout.builder import Builder
from lyra.worlds.layout.clearance import clear_the_way
from lyra.worlds.layout.landscapes import landscape
from lyra.worlds.layout.lighting import choose_light
from lyra.worlds.layout.rooms import room
from lyra.worlds.layout.stage import Stage
from lyra.worlds.layout.streets import courtyard, street
from lyra.worlds.layout.tabletops import tabletop
from lyra.worlds.layout.visible import describe
from lyra.worlds.textures import SPLITS, Catalogue, Split, TextureSet
from lyra.worlds.world import World

_LAYOUTS = {"room": room, "street": street, "courtyard": courtyard, "landscape": landscape, "tabletop": tabletop}
KINDS: tuple[str, ...] = tuple(_LAYOUTS)
_WEIGHTS = (0.28, 0.18, 0.14, 0.2, 0.2)


def sample_world(seed: int, split: Split, textures: TextureSet | Catalogue, kind: str | None = None) -> World:
    """Build the world of a seed; the seeds of different splits lead to different worlds.

    Args:
        seed: any integer.
        split: train, val or test; it should be that of ``textures``.
        textures: the textures or just their catalogue.
        kind: one of KINDS; ``None`` draws one.

    Raises:
        ValueError: unknown split or kind.
    """
    if split not in SPLITS:
        raise ValueError(f"sample_world: split {split!r} is not one of {', '.join(SPLITS)}")
    if kind is not None and kind not in _LAYOUTS:
        raise ValueError(f"sample_world: kind {kind!r} is not one of {', '.join(KINDS)}")
    catalogue = textures.catalogue if isinstance(textures, TextureSet) else textures
    generator = random.Random(f"{split}/{seed}")
    drawn = generator.choices(KINDS, _WEIGHTS)[0]
    build = Builder(generator, catalogue)
    stage = _LAYOUTS[kind or drawn](build)
    fov = math.radians(build.uniform(*stage.fov))
    light, time_of_day = choose_light(build, stage)
    moving = _add_mover(build, stage)
    c2w = camera_pose(stage, generator.gauss(0.0, 0.012))
    table = clear_the_way(build.table(), c2w, fov)
    return World(
        seed=seed,
        split=split,
        description=describe(build, stage, table, c2w, fov, time_of_day, moving),
        primitives=table.rows,
        counts=table.counts,
        light=light,
        source_c2w=c2w,
        fov=fov,
        moving=bool(moving),
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


def _add_mover(build: Builder, stage: Stage) -> str:
    """Sometimes an object that travels or turns, with its rows marked by velocity and spin; its noun, "" for none."""
    if stage.mover is None or not build.chance(0.4):
        return ""
    x, height, z = stage.mover
    size = stage.mover_size
    before = len(build)
    skin = build.material("fabric", "wood", "metal", metres=max(1.5 * size, 0.1), lightness=(0.1, 0.5), gloss=0.15)
    noun = "ball" if build.chance(0.5) else "box"
    build.new_object(noun)
    if noun == "ball":
        build.ball((x, max(height, size), z), (size, size, size), skin)
    else:
        build.box(
            (x, max(height, size), z), (size, size, size), build.picture() if build.chance(0.4) else skin, stretch=True
        )
    if build.chance(0.4):
        build.ball((x + 1.6 * size, max(height, size) + 0.3 * size, z), (0.5 * size,) * 3, skin)
    build.end_object()
    speed = build.uniform(0.25, 0.8) * stage.mover_reach
    turn = build.uniform(-math.pi, math.pi)
    velocity = (speed * math.cos(turn), 0.0, 0.6 * speed * math.sin(turn))
    build.move(before, velocity, build.uniform(-2.2, 2.2), (x, -max(height, size), z))
    return noun
