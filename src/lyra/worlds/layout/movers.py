"""What moves when a scene is filmed over time: people and animals that walk, cars, balls and boxes."""

import math

from lyra.worlds.layout import furniture
from lyra.worlds.layout.builder import Builder
from lyra.worlds.layout.figures import Limb, person, quadruped
from lyra.worlds.layout.stage import Stage


def add_mover(build: Builder, stage: Stage) -> str:
    """Sometimes an object that travels; its rows say how. Returns its noun, or "" for none."""
    if stage.mover is None or not build.chance(0.3):
        return ""
    x, height, z = stage.mover
    noun = build.random.choice(stage.movers)
    before = len(build)
    yaw = build.random.choice((-1, 1)) * build.uniform(0.9, 2.2)
    if noun in ("ball", "box"):
        _toy(build, stage, noun)
        turn = build.uniform(-math.pi, math.pi)
        speed = build.uniform(0.25, 0.8) * stage.mover_reach
        velocity = (speed * math.cos(turn), 0.0, 0.6 * speed * math.sin(turn))
        pivot = (x, -max(height, stage.mover_size), z)
        build.move(before, velocity, build.uniform(-2.2, 2.2), pivot)
        return noun
    if noun == "car":
        yaw = build.random.choice((0.0, math.pi)) + build.uniform(-0.1, 0.1)
        furniture.car(build, x, z, yaw)
        speed = build.uniform(1.5, 5.0)
    else:
        limbs = person(build, x, z, yaw) if noun == "person" else quadruped(build, x, z, yaw, build.uniform(0.4, 0.7))
        speed = min(build.uniform(0.5, 1.4), stage.mover_reach)
        _walk(build, limbs, yaw, speed)
    spin = build.uniform(-0.3, 0.3) if build.chance(0.4) and noun != "car" else 0.0
    velocity = (speed * math.sin(yaw), 0.0, speed * math.cos(yaw))
    if spin:  # a bend: the way turns around a point beside it
        radius = speed / spin
        pivot = (x + radius * math.cos(yaw), 0.0, z - radius * math.sin(yaw))
        build.move(before, (0.0, 0.0, 0.0), spin, pivot)
    else:
        build.move(before, velocity, 0.0, (x, 0.0, z))
    return noun


def _walk(build: Builder, limbs: tuple[Limb, ...], yaw: float, speed: float) -> None:
    """Let limbs swing about the body's own sideways axis, a pair out of step."""
    rate = 2 * math.pi * build.uniform(0.7, 1.0)
    start = build.uniform(0, 2 * math.pi)
    amplitude = min(0.45, 0.12 + 0.28 * speed)
    for limb in limbs:
        pivot = (limb.pivot[0], -limb.pivot[1], limb.pivot[2])
        phase = start + (math.pi if limb.ahead else 0.0)
        build.swing(limb.rows, (math.cos(yaw), 0.0, -math.sin(yaw)), limb.reach * amplitude, rate, phase, pivot)


def _toy(build: Builder, stage: Stage, noun: str) -> None:
    x, height, z = stage.mover or (0.0, 0.0, 0.0)
    size = stage.mover_size
    skin = build.material("fabric", "wood", "metal", metres=max(1.5 * size, 0.1), lightness=(0.1, 0.5), gloss=0.15)
    build.new_object(noun)
    at = (x, max(height, size), z)
    if noun == "ball":
        build.ball(at, (size, size, size), skin)
    else:
        build.box(at, (size, size, size), build.picture() if build.chance(0.15) else skin, stretch=True)
    build.end_object()
