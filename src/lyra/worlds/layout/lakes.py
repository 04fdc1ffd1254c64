"""Lakes, rivers and the sea, with what stands on the far shore lying darkly on the water."""

import math

from lyra.worlds.layout.builder import Builder, Colour, Material
from lyra.worlds.layout.figures import bird, person
from lyra.worlds.layout.forests import boulder
from lyra.worlds.layout.plants import bark_material, bush, conifer, grass_tuft, leaf_material, tree
from lyra.worlds.layout.stage import Stage
from lyra.worlds.layout.towers import tower, village

_WATERS: tuple[Colour, ...] = (
    (0.09, 0.14, 0.17), (0.16, 0.21, 0.25), (0.05, 0.09, 0.09), (0.26, 0.31, 0.35), (0.1, 0.2, 0.24),
)  # fmt: skip


def lake(build: Builder) -> Stage:
    """A near shore, open water, and a far shore that is mirrored in it."""
    shore, far = build.uniform(3, 9), build.uniform(45, 220)
    eye = build.uniform(1.4, 2.6) if build.chance(0.65) else build.uniform(4, 12)
    ground = build.meadow(build.random.choice(("grass", "sand", "ground", "rock")), metres=3.0)
    hue = build.random.choice(_WATERS)
    water = build.dyed(hue, "water", metres=build.uniform(3, 8), gloss=build.uniform(0.2, 0.7))
    build.floor(0, (far + shore) / 2 + 40, 600, (far - shore) / 2 + 60, water, height=0.0)
    _near_shore(build, shore, ground)
    open_sea = build.chance(0.2)
    if not open_sea:
        _far_shore(build, far, hue, eye)
    _on_the_water(build, shore)
    return Stage(
        kind="landscape",
        style="lake",
        surfaces=(("ground", ground),),
        eye=(0.0, eye, 0.0),
        yaw=build.uniform(-0.2, 0.2),
        pitch=build.uniform(0.0, 0.1) + (0.06 if eye > 3 else 0.0),
        fov=(36.0, 80.0),
        haze=build.random.choice((0.0008, 0.002, 0.006)) * build.uniform(0.6, 1.3),
        mover=(build.uniform(-2, 2), 0.2, shore + 4),
        mover_reach=2.5,
        mover_size=0.35,
    )


def _near_shore(build: Builder, shore: float, ground: Material) -> None:
    """Land up to an uneven waterline, with stones, reeds and sometimes a tree that frames the view."""
    build.box((0, -0.35, shore - 40), (300, 0.4, 40), ground, ball=0.0)
    for _ in range(6):
        half = (build.uniform(1.5, 5), build.uniform(0.12, 0.4), build.uniform(0.8, 2.5))
        build.ball(
            (build.uniform(-14, 14), -0.02, shore + build.uniform(-0.6, 0.8)),
            half,
            ground,
            from_above=True,
            occluder=0.0,
        )
    rock = build.material("rock", "cliff", metres=1.2, lightness=(0.06, 0.35), macro=0.5)
    for _ in range(build.random.randrange(1, 6)):
        z = shore + build.uniform(-1.5, 2)
        boulder(build, build.random.choice((-1, 1)) * build.uniform(0.15, 0.8) * z, z, build.uniform(0.15, 0.6), rock)
    reeds = leaf_material(build, 0.6)
    for _ in range(build.random.randrange(0, 7)):
        z = shore + build.uniform(-1.2, 1.0)
        grass_tuft(build, build.random.choice((-1, 1)) * build.uniform(0.2, 0.9) * z, z, build.uniform(0.4, 1.1), reeds)
    leaves = leaf_material(build, 1.6)
    for side in (-1, 1):
        if build.chance(0.35):
            z = build.uniform(0.6, 0.9) * shore + 1.5
            tree(build, side * build.uniform(0.55, 0.9) * z, z, build.uniform(3.5, 7), leaves, bark_material(build))
        elif build.chance(0.4):
            z = build.uniform(0.7, 1.0) * shore
            bush(build, side * build.uniform(0.4, 0.7) * z, z, build.uniform(0.5, 1.0), leaves)
    if build.chance(0.25):
        person(build, build.uniform(-0.5, 0.5) * shore, shore - 0.8, build.uniform(-1, 1), base=0.05)
    if build.chance(0.25):
        build.new_object("jetty")
        wood = build.material("wood", metres=1.0, lightness=(0.08, 0.3))
        x, long = build.uniform(-3, 3), build.uniform(3, 9)
        turn = build.uniform(-0.3, 0.3)
        build.box((x, 0.42, shore + long), (0.8, 0.05, long), wood, turn, ball=0.0)
        for step in range(4):
            for aside in (-0.75, 0.75):
                along = (0.3 + 0.5 * step) * long
                px, pz = x + aside + math.sin(turn) * (along - long), shore + along
                build.cylinder((px, 0.3, pz), 0.07, 0.55, wood, ball=0.0)
        build.end_object()


def _far_shore(build: Builder, far: float, hue: Colour, eye: float) -> None:
    """Trees, hills and houses beyond the water, and their image on it.

    What rises ``h`` above the water at distance D is mirrored at D · eye / (eye + h): there the image ends.
    """
    land = build.meadow("grass", "forest", metres=9.0)
    build.floor(0, far + 200, 800, 200, land, height=0.4)
    height = build.uniform(3, 9) * far / 80
    leaves = leaf_material(build, 5.0)
    repeat = build.random.choice((4.0, 7.0, 10.0))
    mask = build.mask("treeline")
    scale = max(far / 70, 0.8)
    build.upright(
        (0, height, far + 12 * scale),
        3.2 * far,
        height,
        math.pi,
        leaves,
        mask=mask,
        mask_repeat=(repeat, 1.0),
        puffy=True,
    )
    _mirror(build, far, 1.4 * height, eye, 3.2 * far, leaves, hue, mask, repeat)
    ridge = build.material("cliff", "grass", "forest", metres=22.0, lightness=(0.08, 0.3), macro=0.8)
    for layer in range(build.random.randrange(1, 4)):
        distance = far * (1.8 + 1.2 * layer)
        rise = build.uniform(0.04, 0.12) * distance
        build.upright(
            (build.uniform(-20, 20), rise - 2, distance), 3.5 * distance, rise, math.pi, ridge,
            mask=build.mask("ridge"),
            mask_repeat=(build.random.choice((1.0, 2.0)), 1.0), lean=0.4,
        )  # fmt: skip
        if layer == 0:
            _mirror(build, far, rise, eye, 2.6 * far, ridge, hue, build.mask("ridge"), 2.0)
    choice = build.random.random()
    if choice < 0.35:
        village(build, (-0.5 * far, 0.5 * far), far + 4 * scale, scale, build.random.randrange(3, 7))
    elif choice < 0.6:
        tower(build, build.uniform(-0.3, 0.3) * far, far + 5, max(0.16 * far, 9))
    for _ in range(build.random.randrange(0, 4)):
        conifer(
            build,
            build.uniform(-0.8, 0.8) * far,
            far + 2,
            build.uniform(0.6, 1.4) * height,
            leaf_material(build, 3.0),
            bark_material(build),
        )


def _mirror(
    build: Builder, far: float, height: float, eye: float, half_x: float, material: Material, hue: Colour, mask: int,
    repeat: float,
) -> None:  # fmt: skip
    """The image of a silhouette on the water: darker, and tinted by it."""
    near = far * eye / (eye + height)
    dark = build.uniform(0.45, 0.75)
    blend = tuple(dark * (0.75 * material.tint[k] + 0.25 * material.tint[1] * hue[k] / hue[1]) for k in range(3))
    image = material.tinted((blend[0], blend[1], blend[2]))
    build.sheet((0, 0.012, (near + far) / 2), half_x, (far - near) / 2, image, mask, (repeat, 1.0))


def _on_the_water(build: Builder, shore: float) -> None:
    """Boats and birds."""
    for _ in range(build.random.choice((0, 0, 1, 2))):
        boat(build, build.uniform(-0.4, 0.4) * shore * 3, shore + build.uniform(3, 16), build.uniform(0, math.pi))
    for _ in range(build.random.choice((0, 0, 0, 3))):
        z = shore + build.uniform(1, 5)
        bird(build, build.uniform(-0.5, 0.5) * z, z, build.uniform(0, 6), build.uniform(0.3, 0.6), base=-0.12)


def boat(build: Builder, x: float, z: float, yaw: float) -> None:
    """A small boat, sometimes under sail."""
    build.new_object("boat")
    paint = build.dyed(
        build.random.choice(((0.6, 0.6, 0.58), (0.3, 0.06, 0.04), (0.05, 0.1, 0.2), (0.3, 0.2, 0.1))),
        "wood",
        metres=1.0,
    )
    long = build.uniform(1.4, 2.6)
    build.blob((x, 0.1, z), (0.32 * long, 0.34, long), paint, yaw, occluder=0.6)
    inside = build.dyed((0.12, 0.08, 0.05), "wood", metres=0.8)
    build.box((x, 0.32, z), (0.2 * long, 0.1, 0.55 * long), inside, yaw, ball=0.0)
    if build.chance(0.3):
        build.rod((x, 0.3, z), (x, 1.9 * long, z), 0.03, inside)
        cloth = build.dyed((0.66, 0.65, 0.6), metres=2.0)
        build.block((x + 0.3 * long, 1.0 * long, z), (0.3 * long, 0.7 * long, 0.01), cloth, 0.4, 0.0, 0.2)
    build.end_object()
