"""Things that stand in rooms and on streets, made of a few boxes and cylinders each."""

import math

from lyra.worlds.layout.builder import Builder, Material


def _place(x: float, z: float, yaw: float, right: float, forward: float) -> tuple[float, float]:
    """Ground position of a part given in the object's own axes (right, forward)."""
    s, c = math.sin(yaw), math.cos(yaw)
    return x + right * c + forward * s, z - right * s + forward * c


def table(build: Builder, x: float, z: float, yaw: float, wood: Material) -> float:
    """A table; returns the height of its top."""
    build.new_object("table")
    height, half_x, half_z = build.uniform(0.68, 0.78), build.uniform(0.5, 0.9), build.uniform(0.35, 0.5)
    build.box((x, height - 0.02, z), (half_x, 0.022, half_z), wood, yaw, ball=0.8)
    leg = 0.03
    for right in (-1, 1):
        for forward in (-1, 1):
            px, pz = _place(x, z, yaw, right * (half_x - 0.07), forward * (half_z - 0.07))
            build.box((px, (height - 0.04) / 2, pz), (leg, (height - 0.04) / 2, leg), wood, yaw, ball=0.0)
    build.end_object()
    return height


def chair(build: Builder, x: float, z: float, yaw: float, wood: Material, seat: Material) -> None:
    """A chair whose back is on its −forward side."""
    build.new_object("chair")
    build.box((x, 0.44, z), (0.21, 0.03, 0.21), seat, yaw, ball=1.6)
    bx, bz = _place(x, z, yaw, 0, -0.2)
    build.box((bx, 0.7, bz), (0.2, 0.22, 0.02), seat, yaw, ball=0.0)
    for right in (-1, 1):
        fx, fz = _place(x, z, yaw, right * 0.18, 0.18)
        build.box((fx, 0.21, fz), (0.018, 0.21, 0.018), wood, yaw, ball=0.0)
        hx, hz = _place(x, z, yaw, right * 0.18, -0.2)
        build.box((hx, 0.35, hz), (0.018, 0.35, 0.018), wood, yaw, ball=0.0)
    build.end_object()


def sofa(build: Builder, x: float, z: float, yaw: float, fabric: Material) -> None:
    """A sofa facing forward."""
    build.new_object("sofa")
    half = build.uniform(0.75, 1.1)
    build.box((x, 0.22, z), (half, 0.2, 0.4), fabric, yaw, ball=1.1)
    bx, bz = _place(x, z, yaw, 0, -0.36)
    build.box((bx, 0.5, bz), (half, 0.34, 0.1), fabric, yaw, ball=0.0)
    for right in (-1, 1):
        ax, az = _place(x, z, yaw, right * half, 0)
        build.box((ax, 0.3, az), (0.1, 0.28, 0.4), fabric, yaw, ball=0.0)
        cx, cz = _place(x, z, yaw, right * half * 0.5, -0.2)
        build.ball((cx, 0.56, cz), (0.24, 0.2, 0.11), build.material("fabric", metres=0.5), yaw, occluder=0.0)
    build.end_object()


def bed(build: Builder, x: float, z: float, yaw: float, wood: Material) -> None:
    """A bed whose head is on its −forward side."""
    build.new_object("bed")
    half = build.uniform(0.5, 0.85)
    cover = build.material("fabric", metres=0.9, lightness=(0.12, 0.7))
    build.box((x, 0.16, z), (half, 0.12, 1.02), wood, yaw, ball=1.0)
    build.box((x, 0.38, z), (half * 0.97, 0.12, 1.0), cover, yaw, ball=0.0)
    hx, hz = _place(x, z, yaw, 0, -1.04)
    build.box((hx, 0.5, hz), (half + 0.04, 0.5, 0.03), wood, yaw, ball=0.0)
    for right in (-0.45, 0.45) if half > 0.65 else (0.0,):
        px, pz = _place(x, z, yaw, right * half * 1.1, -0.72)
        white = build.material("fabric", "wall", metres=0.6, lightness=(0.5, 0.75))
        build.ball((px, 0.54, pz), (0.3, 0.1, 0.2), white, yaw, occluder=0.0)
    build.end_object()


def cabinet(build: Builder, x: float, z: float, yaw: float, wood: Material) -> None:
    """A cabinet or wardrobe with a gap line between its doors."""
    tall = build.chance(0.4)
    build.new_object("wardrobe" if tall else "cabinet")
    half = build.uniform(0.4, 0.8)
    height = build.uniform(1.7, 2.1) if tall else build.uniform(0.6, 1.0)
    depth = 0.28 if tall else 0.22
    build.box((x, height / 2, z), (half, height / 2, depth), wood, yaw, ball=1.0)
    dark = wood.tinted((0.25 * wood.tint[0], 0.25 * wood.tint[1], 0.25 * wood.tint[2]))
    fx, fz = _place(x, z, yaw, 0, depth)
    build.box((fx, height / 2, fz), (0.006, height / 2 - 0.06, 0.004), dark, yaw, ball=0.0)
    for right in (-1, 1):
        kx, kz = _place(x, z, yaw, right * 0.05, depth + 0.015)
        build.ball((kx, height * 0.55, kz), (0.016, 0.016, 0.016), build.material("metal", metres=0.2), occluder=0.0)
    if not tall and build.chance(0.8):
        vx, vz = _place(x, z, yaw, build.uniform(-0.6, 0.6) * half, 0)
        vase(build, vx, vz, height)
    build.end_object()


def shelf(build: Builder, x: float, z: float, yaw: float, wood: Material) -> None:
    """An open shelf with rows of books."""
    build.new_object("bookshelf")
    half, height, depth = build.uniform(0.4, 0.7), build.uniform(1.4, 2.0), 0.16
    bx, bz = _place(x, z, yaw, 0, -depth + 0.015)
    build.box((bx, height / 2, bz), (half, height / 2, 0.01), wood, yaw, ball=0.0)
    for right in (-1, 1):
        sx, sz = _place(x, z, yaw, right * half, 0)
        build.box((sx, height / 2, sz), (0.015, height / 2, depth), wood, yaw, ball=0.0)
    levels = 4
    for level in range(levels + 1):
        y = 0.06 + level * (height - 0.08) / levels
        build.box((x, y, z), (half, 0.012, depth), wood, yaw, ball=1.0 if level == 1 else 0.0)
        if level < levels:
            tall = build.uniform(0.6, 0.85) * (height / levels) / 2
            wide = build.uniform(0.45, 0.95) * half
            px, pz = _place(x, z, yaw, build.uniform(-1, 1) * (half - wide) * 0.9, -0.03)
            build.box(
                (px, y + 0.012 + tall, pz),
                (wide, tall, depth * 0.75),
                build.material("fabric", "paper", "wood", metres=0.12, lightness=(0.05, 0.5)),
                yaw,
                ball=0.0,
            )
    build.end_object()


def floor_lamp(build: Builder, x: float, z: float) -> None:
    """A lamp with a glowing shade."""
    build.new_object("lamp")
    metal = build.material("metal", metres=0.5, gloss=0.3)
    height = build.uniform(1.35, 1.65)
    build.cylinder((x, 0.015, z), 0.14, 0.015, metal)
    build.cylinder((x, height / 2, z), 0.012, height / 2, metal, ball=0.0)
    shade = build.material("fabric", "wall", metres=0.6, lightness=(0.5, 0.75))
    glowing = Material(shade.tile, shade.metres, shade.mirror, (1.1, 0.95, 0.7), 0.0, 0.0, 0.9)
    build.cylinder((x, height, z), 0.2, 0.14, glowing, taper=0.4, ball=0.0)
    build.end_object()


def wall_picture(build: Builder, x: float, height: float, z: float, facing: float, limit: float) -> None:
    """A framed photograph on a wall whose normal looks along ``facing``."""
    build.new_object("picture")
    half_x = min(build.uniform(0.22, 0.6), limit)
    half_y = half_x * build.uniform(0.7, 1.25)
    half_y = min(half_y, 0.55)
    frame = build.material("wood", "metal", metres=0.6)
    s, c = math.sin(facing), math.cos(facing)
    build.box((x + 0.015 * s, height, z + 0.015 * c), (half_x + 0.03, half_y + 0.03, 0.014), frame, facing, ball=0.0)
    build.upright((x + 0.031 * s, height, z + 0.031 * c), half_x, half_y, facing, build.picture(), stretch=True)
    build.end_object()


def vase(build: Builder, x: float, z: float, base: float) -> None:
    """A vase, standing on ``base``, sometimes with flowers."""
    outer = build.tag
    build.new_part("vase")
    tall = build.uniform(0.07, 0.12)
    clay = build.material("wall", "marble", "stone", "tile", metres=0.5, gloss=0.25)
    build.ball((x, base + 0.8 * tall, z), (0.55 * tall, 0.8 * tall, 0.55 * tall), clay)
    build.cylinder((x, base + 1.65 * tall, z), 0.22 * tall, 0.25 * tall, clay, taper=-0.4, ball=0.0)
    if build.chance(0.6):
        leaves = build.leaf(0.35)
        for _ in range(3):
            size = build.uniform(0.4, 0.65) * tall
            dx, dz = build.uniform(-0.5, 0.5) * tall, build.uniform(-0.5, 0.5) * tall
            build.leaves(
                (x + dx, base + build.uniform(2.3, 3.1) * tall, z + dz),
                (size, size, size),
                leaves,
                build.mask("leaves"),
                0.7,
            )
    build.tag = outer


def car(build: Builder, x: float, z: float, yaw: float) -> None:
    """A parked car: body, cabin, glass band and wheels."""
    build.new_object("car")
    hue = build.random.choice(
        (
            (0.5, 0.05, 0.05),
            (0.08, 0.12, 0.3),
            (0.6, 0.6, 0.6),
            (0.05, 0.05, 0.06),
            (0.75, 0.72, 0.66),
            (0.1, 0.25, 0.2),
        )
    )
    paint = Material(build.random.choice(build.tiles("metal", "wall")), 3.0, True, (1.0, 1.0, 1.0), 0.0, 0.35)
    mean = build.catalogue.mean_rgb[paint.tile]
    paint = paint.tinted(tuple(hue[k] / max(float(mean[k]), 0.05) for k in range(3)))  # type: ignore[arg-type]
    glass = paint.tinted((0.12, 0.14, 0.16))
    build.box((x, 0.52, z), (0.85, 0.27, 2.05), paint, yaw, ball=0.9)
    cx, cz = _place(x, z, yaw, 0, -0.15)
    build.cylinder((cx, 1.03, cz), 0.78, 0.26, glass, taper=0.3, radius_z=1.3, yaw=yaw, ball=0.0)
    build.box((cx, 1.3, cz), (0.5, 0.025, 0.8), paint, yaw, ball=0.0)
    rubber = paint.tinted((0.06, 0.06, 0.06))
    for forward in (-1.25, 1.3):
        wx, wz = _place(x, z, yaw, 0, forward)
        build.cylinder((wx, 0.32, wz), 0.32, 0.9, rubber, axis="x", yaw=yaw, ball=0.0)
    build.end_object()


def lamp_post(build: Builder, x: float, z: float, toward: float) -> None:
    """A street lamp whose arm reaches along ±x."""
    build.new_object("lamp_post")
    metal = build.material("metal", metres=0.8, lightness=(0.04, 0.12))
    height = build.uniform(3.6, 5.0)
    build.cylinder((x, height / 2, z), 0.07, height / 2, metal, taper=0.4)
    build.box((x + 0.35 * toward, height, z), (0.42, 0.03, 0.03), metal, ball=0.0)
    build.ball(
        (x + 0.7 * toward, height - 0.08, z),
        (0.16, 0.1, 0.12),
        build.material("wall", metres=0.6, lightness=(0.5, 0.7)),
        occluder=0.0,
    )
    build.end_object()


def bench(build: Builder, x: float, z: float, yaw: float, wood: Material) -> None:
    """A bench facing forward."""
    build.new_object("bench")
    build.box((x, 0.44, z), (0.8, 0.03, 0.2), wood, yaw, ball=1.3)
    bx, bz = _place(x, z, yaw, 0, -0.2)
    build.box((bx, 0.68, bz), (0.8, 0.12, 0.02), wood, yaw, ball=0.0)
    for right in (-1, 1):
        lx, lz = _place(x, z, yaw, right * 0.65, 0)
        build.box((lx, 0.2, lz), (0.04, 0.21, 0.18), wood, yaw, ball=0.0)
    build.end_object()
