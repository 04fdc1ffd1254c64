"""What the source camera sees of the named things, in canonical words."""

import math

import numpy as np

from lyra.worlds.caption_words import CATEGORY_MATERIAL, NOUNS, SKY_WORDS
from lyra.worlds.colours import colour_name
from lyra.worlds.description import Description, Surface, Thing
from lyra.worlds.layout.builder import Builder, Material, Mention, Table
from lyra.worlds.layout.clearance import first_hits
from lyra.worlds.layout.stage import Stage
from lyra.worlds.textures import Catalogue
from lyra.worlds.world import CENTRE, CUTOUT, HALF, QUAD, ROWS, TILE, TINT

SMALLEST_SHARE = 0.0015
"""Things that cover less of the picture are not worth a word."""
MOST_THINGS = 8
_PROBES = np.concatenate([np.zeros((1, 3)), 0.6 * np.eye(3), -0.6 * np.eye(3)]).astype(np.float32)
_ASPECT = 256 / 448
_SLACK = 0.97  # a probe inside a body lies a little behind its surface


def describe(
    build: Builder, stage: Stage, table: Table, c2w: np.ndarray, fov: float, time_of_day: str, moving: str
) -> Description:
    """The facts of a finished world.

    Args:
        build: for the names of things and the colours of tiles.
        stage: kind, style and surfaces.
        table: the primitives that are left.
        c2w, fov: the source camera; its picture is taken to be 256 x 448.
        time_of_day: words of the sky, "" where they are not to be told.
        moving: noun of the moving object, or "".
    """
    things = visible_things(table, build.mentions, build.catalogue, c2w, fov)
    has_sky = not stage.indoor or stage.kind == "room"  # rooms around tables have no window
    return Description(
        kind=stage.kind,
        style=stage.style,
        surfaces=tuple(_surface(part, material, build.catalogue) for part, material in stage.surfaces),
        things=things,
        time=SKY_WORDS.get(time_of_day, "") if has_sky else "",
        moving=moving if any(thing.noun == moving for thing in things) else "",
    )


def visible_things(
    table: Table, mentions: list[Mention], catalogue: Catalogue, c2w: np.ndarray, fov: float
) -> tuple[Thing, ...]:
    """Named things of which the largest primitive is in the picture, large enough, and not hidden; largest first."""
    tags = np.unique(table.tags[table.tags > 0])
    if not len(tags):
        return ()
    sizes = np.sort(half_sizes(table), axis=1)
    area = sizes[:, 1] * sizes[:, 2]
    chosen = np.array([np.flatnonzero(table.tags == tag)[area[table.tags == tag].argmax()] for tag in tags])
    seen, distance = _seen(table, chosen, c2w, fov)
    frame = 4 * math.tan(fov / 2) ** 2 * _ASPECT
    share = np.minimum(4 * area[chosen] / np.maximum(distance, 0.1) ** 2 / frame, 1.0) * seen
    counts: dict[str, int] = {}
    shares: dict[str, float] = {}
    best: dict[str, tuple[float, int]] = {}
    for tag, row, part in zip(tags, chosen, share, strict=True):
        if part < SMALLEST_SHARE:
            continue
        noun, count = mentions[tag].noun, mentions[tag].count
        counts[noun] = counts.get(noun, 0) + count
        shares[noun] = shares.get(noun, 0.0) + float(part)
        best[noun] = max(best.get(noun, (0.0, row)), (float(part), int(row)))
    things = []
    for noun in sorted(shares, key=lambda name: -shares[name])[:MOST_THINGS]:
        row = table.rows[best[noun][1]]
        colour = colour_name(catalogue.mean_rgb[int(row[TILE])] * row[TINT]) if NOUNS[noun].takes_colour else ""
        category = catalogue.categories[int(row[TILE])]
        material = CATEGORY_MATERIAL.get(category, "") if NOUNS[noun].takes_material else ""
        # a photograph on a box, or a whole facade in one picture, has no one colour
        single = category not in ("photo", "facade", "single")
        count = 1 if NOUNS[noun].mass else counts[noun]
        things.append(Thing(noun, count, material if single else "", colour if single else ""))
    return tuple(things)


def half_sizes(table: Table) -> np.ndarray:
    """[P, 3] half sizes along the local axes; flat shapes, which the table gives a depth of 1, have none."""
    half = table.rows[:, HALF].copy()
    half[np.isin(table.shapes, (QUAD, CUTOUT)), 2] = 0.0
    return half


def _seen(table: Table, chosen: np.ndarray, c2w: np.ndarray, fov: float) -> tuple[np.ndarray, np.ndarray]:
    """Share 0…1 of the probe points of each primitive that the camera sees, and the distance [N] along its axis."""
    rows = table.rows[chosen]
    axes, half = rows[:, ROWS].reshape(-1, 3, 3), half_sizes(table)[chosen]
    points = rows[:, None, CENTRE] + np.einsum("nk,pk,nkj->npj", half, _PROBES, axes)
    camera = (points - c2w[:3, 3]) @ c2w[:3, :3]
    z = camera[..., 2]
    tangent = math.tan(fov / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = (z > 0.05) & (np.abs(camera[..., 0] / z) < tangent) & (np.abs(camera[..., 1] / z) < tangent * _ASPECT)
    rays = (points - c2w[:3, 3]).reshape(-1, 3).T  # length 1 reaches the point
    opaque = np.flatnonzero(table.shapes != CUTOUT)
    hit, owner = first_hits(table.rows[opaque], table.shapes[opaque], c2w[:3, 3], rays)
    same = table.tags[opaque][owner] == table.tags[chosen].repeat(len(_PROBES))
    free = (hit > _SLACK) | same
    seen = inside & free.reshape(inside.shape)
    distance = np.where(seen, z, np.inf).min(axis=1)
    return seen.mean(axis=1), np.where(np.isfinite(distance), distance, 1e6)


def _surface(part: str, material: Material, catalogue: Catalogue) -> Surface:
    colour = colour_name(catalogue.mean_rgb[material.tile] * np.array(material.tint, np.float32))
    return Surface(part, CATEGORY_MATERIAL.get(catalogue.categories[material.tile], ""), colour)
