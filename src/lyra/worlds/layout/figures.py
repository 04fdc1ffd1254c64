"""People and animals, made of ellipsoids and rods: their size, stance and place are right, their faces are not."""

import math
from typing import NamedTuple

from lyra.worlds.layout.builder import Builder, Colour, Point

_SKIN: tuple[Colour, ...] = ((0.55, 0.32, 0.22), (0.42, 0.23, 0.14), (0.22, 0.11, 0.06), (0.08, 0.045, 0.03))
_HAIR: tuple[Colour, ...] = ((0.02, 0.015, 0.012), (0.07, 0.04, 0.02), (0.22, 0.13, 0.06), (0.3, 0.3, 0.3))
_CLOTHES: tuple[Colour, ...] = (
    (0.03, 0.04, 0.08), (0.02, 0.02, 0.02), (0.5, 0.5, 0.48), (0.3, 0.05, 0.04), (0.08, 0.12, 0.06),
    (0.12, 0.16, 0.28), (0.28, 0.22, 0.15), (0.55, 0.45, 0.12), (0.16, 0.16, 0.17),
)  # fmt: skip
_FUR: tuple[Colour, ...] = (
    (0.62, 0.58, 0.52), (0.32, 0.18, 0.08), (0.02, 0.018, 0.016), (0.2, 0.17, 0.14), (0.42, 0.28, 0.14),
    (0.1, 0.06, 0.035),
)  # fmt: skip
_COATS = ("sand", "ground", "forest", "fabric", "bark", "plaster")


class Limb(NamedTuple):
    """A part that swings when its owner walks.

    ``rows`` number the builder's primitives, ``pivot`` is a point x, height, z; ``ahead`` tells in which half of a step
    it is, ``reach`` how far it swings compared with a leg.
    """

    rows: range
    pivot: Point
    ahead: bool
    reach: float


class _Frame:
    """Places in the axes of a body: right, up, forward from the point on the ground it stands on."""

    def __init__(self, x: float, z: float, yaw: float, base: float) -> None:
        self.x, self.z, self.base = x, z, base
        self.s, self.c = math.sin(yaw), math.cos(yaw)

    def at(self, right: float, up: float, forward: float) -> Point:
        return (
            self.x + right * self.c + forward * self.s,
            self.base + up,
            self.z - right * self.s + forward * self.c,
        )


def person(build: Builder, x: float, z: float, yaw: float, tall: float = 0.0, base: float = 0.0) -> tuple[Limb, ...]:
    """Somebody standing or walking, who looks along (sin yaw, cos yaw); returns legs and arms."""
    build.new_object("person")
    tall = tall or build.uniform(1.5, 1.9)
    body = _Frame(x, z, yaw, base)
    cloth = build.dyed(build.random.choice(_CLOTHES), "fabric", "plaster", metres=0.4)
    legs = build.dyed(build.random.choice(_CLOTHES), "fabric", "plaster", metres=0.4)
    skin = build.dyed(build.random.choice(_SKIN), metres=0.6)
    hair = build.dyed(build.random.choice(_HAIR), "ground", "fabric", metres=0.3)
    limbs = []
    stride = build.uniform(0.0, 0.16) * tall * build.random.choice((0.0, 1.0))
    for side in (-1, 1):
        first = len(build)
        hip, foot = body.at(side * 0.05 * tall, 0.5 * tall, 0), body.at(side * 0.06 * tall, 0.03, side * stride)
        build.rod(hip, foot, 0.055 * tall, legs, taper=0.35, ball=1.0)
        shoe = body.at(side * 0.06 * tall, 0.04, side * stride + 0.03 * tall)
        build.ball(shoe, (0.03 * tall, 0.028 * tall, 0.07 * tall), hair, yaw, occluder=0.0)
        limbs.append(Limb(range(first, len(build)), hip, side > 0, 1.0))
        first = len(build)
        shoulder = body.at(side * 0.115 * tall, 0.8 * tall, 0)
        hand = body.at(side * build.uniform(0.13, 0.2) * tall, 0.45 * tall, -side * 0.7 * stride + 0.04 * tall)
        build.rod(shoulder, hand, 0.032 * tall, cloth, taper=0.3)
        build.ball(hand, (0.025 * tall, 0.035 * tall, 0.025 * tall), skin, occluder=0.0)
        limbs.append(Limb(range(first, len(build)), shoulder, side < 0, 0.8))
    middle = body.at(0, 0.655 * tall, 0)
    build.cylinder(middle, 0.115 * tall, 0.17 * tall, cloth, taper=-0.2, radius_z=0.075 * tall, yaw=yaw, ball=1.0)
    build.ball(body.at(0, 0.82 * tall, 0), (0.125 * tall, 0.045 * tall, 0.07 * tall), cloth, yaw, occluder=0.0)
    build.rod(body.at(0, 0.82 * tall, 0), body.at(0, 0.88 * tall, 0), 0.033 * tall, skin)
    build.ball(body.at(0, 0.92 * tall, 0.005 * tall), (0.045 * tall, 0.065 * tall, 0.055 * tall), skin, yaw)
    long = build.uniform(0.9, 1.15) if build.chance(0.5) else 0.75
    build.ball(
        body.at(0, (0.945 - 0.02 * long) * tall, -0.014 * tall),
        (0.05 * tall, 0.065 * tall * long, 0.055 * tall), hair, yaw, occluder=0.0,
    )  # fmt: skip
    build.end_object()
    return tuple(limbs)


def quadruped(
    build: Builder, x: float, z: float, yaw: float, shoulder: float, noun: str = "dog", lying: bool = False
) -> tuple[Limb, ...]:
    """A four-legged animal of the given shoulder height, the head along (sin yaw, cos yaw); returns its legs."""
    build.new_object(noun)
    body = _Frame(x, z, yaw, 0.0)
    h = shoulder
    coat = build.dyed(build.random.choice(_FUR), build.random.choice(_COATS), metres=0.5 * h + 0.1)
    patch = build.dyed(build.random.choice(_FUR), build.random.choice(_COATS), metres=0.5 * h + 0.1)
    other = patch if build.chance(0.5) else coat
    dark = build.dyed((0.015, 0.012, 0.012), metres=0.3, gloss=0.3)
    drop = 0.45 * h if lying else 0.0
    slim = build.uniform(0.8, 1.25)
    back = 0.82 * h - drop
    build.blob(body.at(0, back, -0.25 * h), (0.22 * h * slim, 0.24 * h * slim, 0.55 * h), coat, yaw, occluder=1.0)
    build.blob(body.at(0, back + 0.03 * h, 0.2 * h), (0.21 * h * slim, 0.27 * h * slim, 0.28 * h), other, yaw)
    build.blob(body.at(0, back - 0.02 * h, -0.65 * h), (0.2 * h * slim, 0.23 * h * slim, 0.24 * h), coat, yaw)
    limbs = []
    for side in (-1, 1):
        for along in (0.22 * h, -0.68 * h):
            top = body.at(side * 0.13 * h, back - 0.1 * h, along)
            if lying:
                foot = body.at(side * 0.2 * h, 0.06 * h, along + 0.35 * h)
            else:
                foot = body.at(side * 0.13 * h, 0.04 * h, along + build.uniform(-0.12, 0.12) * h)
            limbs.append(Limb(range(len(build), len(build) + 1), top, (side > 0) == (along > 0), 0.8))
            build.rod(top, foot, 0.085 * h, coat, taper=0.45, ball=0.8)
    lift, turn = build.uniform(0.05, 0.5) * h, build.uniform(-0.3, 0.3) * h
    neck, head = body.at(0, back + 0.1 * h, 0.35 * h), body.at(turn, back + 0.12 * h + lift, 0.62 * h)
    build.rod(neck, head, 0.15 * h, other, taper=0.2)
    build.blob(head, (0.15 * h, 0.15 * h, 0.18 * h), other, yaw, occluder=0.8)
    nose = body.at(1.25 * turn, back + 0.06 * h + lift, 0.82 * h)
    build.blob(nose, (0.075 * h, 0.07 * h, 0.14 * h), coat, yaw)
    tip = body.at(1.35 * turn, back + 0.08 * h + lift, 0.95 * h)
    build.ball(tip, (0.03 * h,) * 3, dark, occluder=0.0)
    upright = build.chance(0.5)
    for side in (-1, 1):
        ear = body.at(turn + side * 0.12 * h, back + (0.27 if upright else 0.15) * h + lift, 0.58 * h)
        build.blob(ear, (0.045 * h, 0.1 * h, 0.05 * h), patch, yaw, 0.0, side * (0.3 if upright else 0.5))
        eye = body.at(turn + side * 0.075 * h, back + 0.18 * h + lift, 0.76 * h)
        build.ball(eye, (0.022 * h,) * 3, dark, occluder=0.0)
    root = body.at(0, back + 0.1 * h, -0.85 * h)
    build.rod(
        root, body.at(build.uniform(-0.3, 0.3) * h, back + build.uniform(-0.4, 0.5) * h, -1.2 * h), 0.05 * h, coat
    )
    build.end_object()
    return tuple(limbs)


def bird(build: Builder, x: float, z: float, yaw: float, size: float, base: float = 0.0) -> None:
    """A bird on its feet; ``size`` is the length of its body."""
    build.new_object("bird")
    body = _Frame(x, z, yaw, base)
    plumage = build.dyed(build.random.choice(_FUR), "sand", "ground", metres=size)
    dark = build.dyed((0.03, 0.03, 0.035), metres=0.3)
    stand = build.uniform(0.3, 0.8) * size
    build.blob(body.at(0, stand, 0), (0.24 * size, 0.26 * size, 0.45 * size), plumage, yaw, 0.25, occluder=1.0)
    build.ball(body.at(0, stand + 0.38 * size, 0.34 * size), (0.15 * size,) * 3, plumage)
    build.rod(
        body.at(0, stand + 0.12 * size, 0.25 * size), body.at(0, stand + 0.36 * size, 0.33 * size), 0.11 * size, plumage
    )
    beak = body.at(0, stand + 0.36 * size, 0.62 * size)
    build.rod(body.at(0, stand + 0.37 * size, 0.44 * size), beak, 0.045 * size, dark, taper=0.9)
    build.block(
        body.at(0, stand - 0.05 * size, -0.55 * size), (0.1 * size, 0.02 * size, 0.25 * size), plumage, yaw, 0.15
    )
    for side in (-1, 1):
        build.rod(body.at(side * 0.08 * size, stand, 0), body.at(side * 0.09 * size, 0, 0.03 * size), 0.02 * size, dark)
        build.blob(
            body.at(side * 0.22 * size, stand + 0.02 * size, -0.08 * size),
            (0.05 * size, 0.17 * size, 0.4 * size),
            dark if build.chance(0.4) else plumage,
            yaw,
            0.25,
        )
    build.end_object()


def crowd(build: Builder, count: int, x: tuple[float, float], z: tuple[float, float], base: float = 0.0) -> None:
    """People here and there, two of whom never stand in the same place."""
    spots: list[tuple[float, float]] = []
    for _ in range(4 * count):
        spot = (build.uniform(*x), build.uniform(*z))
        if all(math.dist(spot, other) > 0.7 for other in spots):
            spots.append(spot)
            person(build, *spot, build.uniform(-math.pi, math.pi), base=base)
        if len(spots) == count:
            break
