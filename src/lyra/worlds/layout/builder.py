"""A growing list of primitives; heights are given upwards, the table stores y downwards."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lyra.worlds.textures import Catalogue
from lyra.worlds.world import (
    BOX,
    COLUMNS,
    CUTOUT,
    CYLINDER,
    ELLIPSOID,
    GLOW,
    LEAVES,
    QUAD,
    SHAPES,
    SWING_AXIS,
)

Point = tuple[float, float, float]
Colour = tuple[float, float, float]

# What to use where a category has no tile in this split.
_FALLBACKS: dict[str, tuple[str, ...]] = {
    "terrain": ("grass", "ground", "sand", "forest"),
    "grass": ("terrain", "forest", "vegetation", "foliage", "ground"),
    "forest": ("grass", "terrain", "ground", "foliage"),
    "foliage": ("forest", "grass", "vegetation", "terrain"),
    "vegetation": ("foliage", "grass", "forest", "terrain"),
    "ground": ("terrain", "sand", "grass", "paving"),
    "sand": ("ground", "terrain"),
    "snow": ("sand", "ground", "terrain"),
    "rock": ("cliff", "stone", "terrain"),
    "cliff": ("rock", "stone"),
    "stone": ("rock", "cliff", "wall"),
    "marble": ("stone", "tile", "wall"),
    "road": ("paving", "ground", "stone"),
    "paving": ("road", "stone", "tile", "ground"),
    "brick": ("wall", "stone"),
    "wall": ("plaster", "brick", "stone", "fabric"),
    "plaster": ("wall", "stone", "fabric"),
    "roof": ("brick", "wood", "wall"),
    "door": ("wood",),
    "facade": ("wall", "brick"),
    "tile": ("marble", "paving", "stone"),
    "metal": ("stone", "wall"),
    "fabric": ("wall", "wood"),
    "bark": ("wood", "rock"),
    "water": ("metal", "stone"),
    "wood": ("bark", "wall"),
    "paper": ("wood", "fabric", "wall"),
    "other": ("fabric", "wood"),
    "single": ("wood",),
    "photo": ("view", "fabric", "wall"),
    "view": ("photo", "fabric"),
}


@dataclass(frozen=True)
class Mention:
    """A named object: a word of `caption_words.NOUNS` and how many its primitives show."""

    noun: str
    count: int


@dataclass(frozen=True)
class Material:
    """A tile and how it lies on a surface.

    Attributes:
        tile: index into the texture set.
        metres: side of one tile.
        mirror: repeat mirrored (for tiles with visible seams).
        tint: linear factors on the colour.
        macro: strength of slow brightness changes.
        gloss: strength of the highlight.
        glow: emitted light.
    """

    tile: int
    metres: float
    mirror: bool = True
    tint: Colour = (1.0, 1.0, 1.0)
    macro: float = 0.0
    gloss: float = 0.0
    glow: float = 0.0

    def tinted(self, tint: Colour) -> "Material":
        return replace(self, tint=tint)


class Builder:
    """Collects the primitives of one world.

    Attributes:
        random: the source of every choice.
        catalogue: what tiles, skies and silhouettes there are.
        group: number of the object being built; 0 is the building itself, which is never removed.
        tag: index into ``mentions`` of what is being built, 0 for nothing that has a name.
        mentions: what captions may name.
    """

    def __init__(self, generator: random.Random, catalogue: Catalogue) -> None:
        self.random = generator
        self.catalogue = catalogue
        self.group = 0
        self.tag = 0
        self.mentions: list[Mention] = [Mention("", 0)]
        self._groups = 0
        self._shapes: list[int] = []
        self._group_of: list[int] = []
        self._tag_of: list[int] = []
        self._rows: list[tuple[float, ...]] = []
        self._tiles: dict[tuple[str, ...], tuple[int, ...]] = {}

    # ------------------------------------------------------------------ choices

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.random.random()

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def new_object(self, noun: str = "", count: int = 1) -> None:
        """Start another object, for captions ``count`` of ``noun`` (a word of `caption_words.NOUNS`)."""
        self._groups += 1
        self.group = self._groups
        self._name(noun, count)

    def new_feature(self, noun: str, count: int = 1) -> None:
        """Start a part of the setting that captions may name and that is never removed."""
        self.group = 0
        self._name(noun, count)

    def new_part(self, noun: str) -> None:
        """Start a part of the object being built that has a name of its own and is removed with the whole."""
        self._name(noun, 1)

    def end_object(self) -> None:
        self.group = self.tag = 0

    def _name(self, noun: str, count: int) -> None:
        self.tag = 0
        if noun:
            self.tag = len(self.mentions)
            self.mentions.append(Mention(noun, count))

    def tiles(self, *categories: str) -> tuple[int, ...]:
        """Tiles of the given categories, or of their fallbacks, never empty."""
        found = self._tiles.get(categories)
        if found is None:
            found = self._tiles[categories] = self._find_tiles(categories)
        return found

    def _find_tiles(self, categories: tuple[str, ...]) -> tuple[int, ...]:
        table = self.catalogue.by_category
        found: list[int] = []
        for category in categories:
            found.extend(table.get(category, ()))
        if found:
            return tuple(found)
        for category in categories:
            for other in _FALLBACKS.get(category, ()):
                if table.get(other):
                    return table[other]
        return tuple(range(len(self.catalogue.categories)))

    def material(
        self,
        *categories: str,
        metres: float = 1.5,
        macro: float = 0.0,
        gloss: float = 0.0,
        lightness: tuple[float, float] = (0.06, 0.6),
        vary: float = 0.12,
    ) -> Material:
        """A random tile of the categories, tinted a little; its mean is brought into ``lightness`` (linear)."""
        tile = self.random.choice(self.tiles(*categories))
        mean = float(self.catalogue.mean_rgb[tile].mean())
        target = min(max(mean, lightness[0]), lightness[1])
        factor = min(target / max(mean, 1e-3), 3.0) * self.uniform(1 - vary, 1 + vary)
        tint = (factor * self.uniform(0.94, 1.06), factor * self.uniform(0.96, 1.04), factor * self.uniform(0.92, 1.06))
        tint = muted(tint, self.catalogue.mean_rgb[tile])
        return Material(
            tile=tile,
            metres=metres * self.uniform(0.8, 1.25),
            mirror=not bool(self.catalogue.seamless[tile]),
            tint=tint,
            macro=macro,
            gloss=gloss,
        )

    def dyed(
        self, hue: Colour, *categories: str, metres: float = 0.5, gloss: float = 0.0, strength: float = 1.0
    ) -> Material:
        """A tile of the categories (plaster without any) whose mean is brought to the linear colour ``hue``."""
        base = self.material(*(categories or ("plaster",)), metres=metres, gloss=gloss, vary=0.05)
        mean = self.catalogue.mean_rgb[base.tile]
        light = strength * self.uniform(0.85, 1.15)
        tint = tuple(min(light * hue[k] / max(float(mean[k]), 0.03), 6.0) for k in range(3))
        return base.tinted((tint[0], tint[1], tint[2]))

    def leaf(self, metres: float = 1.6) -> Material:
        """Leaves: the greener tiles, pulled towards a natural green, now and then an autumn colour."""
        mean = self.catalogue.mean_rgb
        candidates = self.tiles("foliage", "grass", "forest")
        green = [tile for tile in candidates if mean[tile, 1] > 1.1 * max(mean[tile, 0], mean[tile, 2])] or candidates
        tile = self.random.choice(green)
        hue = self.random.choice(_AUTUMN) if self.chance(0.12) else self.random.choice(_GREENS)
        light = self.uniform(0.8, 1.3)
        own = [max(float(value), 0.02) for value in mean[tile]]
        tint = tuple(min(light * (0.7 * hue[k] / own[k] + 0.3 * hue[1] / own[1]), 5.0) for k in range(3))
        return Material(
            tile,
            metres * self.uniform(0.8, 1.25),
            not self.catalogue.seamless[tile],
            (tint[0], tint[1], tint[2]),
            0.5,
        )

    def meadow(self, *categories: str, metres: float) -> Material:
        """Ground whose colour is pulled a little towards earthy tones."""
        base = self.material(*categories, metres=metres, lightness=(0.1, 0.45), macro=0.5)
        own = [max(float(value), 0.02) for value in self.catalogue.mean_rgb[base.tile]]
        if own[1] < 1.15 * own[0]:
            return base
        level = sum(own) * base.tint[1] / 3
        olive = (1.0, 1.12, 0.5)
        tint = tuple(0.45 * base.tint[k] + 0.55 * level * olive[k] / own[k] for k in range(3))
        return base.tinted((tint[0], tint[1], tint[2]))

    def picture(self) -> Material:
        """A photograph shown once."""
        return Material(tile=self.random.choice(self.tiles("photo")), metres=1.0, mirror=True)

    def view(self) -> Material:
        """A photograph of a place, as bright as daylight seen from inside."""
        tile = self.random.choice(self.tiles("view"))
        return Material(tile=tile, metres=1.0, mirror=True, glow=self.uniform(0.8, 1.8))

    def paint(self) -> Material:
        """A plain painted wall in a room colour."""
        base = self.material("plaster", metres=2.2, lightness=(0.35, 0.7))
        mean = self.catalogue.mean_rgb[base.tile]
        hue = self.random.choice(_ROOM_COLOURS)
        strength = self.uniform(0.85, 1.1)
        tint = tuple(min(strength * hue[k] / max(float(mean[k]), 0.05), 4.0) for k in range(3))
        return base.tinted((tint[0], tint[1], tint[2]))

    def mask(self, kind: str) -> int:
        return self.random.choice(self.catalogue.mask_kinds[kind])

    # ------------------------------------------------------------------ shapes

    def floor(self, x: float, z: float, half_x: float, half_z: float, material: Material, height: float = 0.0) -> None:
        """A horizontal quad seen from above."""
        rows = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)
        self._add(QUAD, rows, (x, height, z), (half_x, half_z, 1.0), material)

    def ceiling(self, x: float, z: float, half_x: float, half_z: float, material: Material, height: float) -> None:
        """A horizontal quad seen from below only."""
        rows = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0)
        self._add(QUAD, rows, (x, height, z), (half_x, half_z, 1.0), material, one_sided=True)

    def upright(
        self,
        centre: Point,
        half_width: float,
        half_height: float,
        facing: float,
        material: Material,
        stretch: bool = False,
        one_sided: bool = False,
        mask: int = -1,
        mask_repeat: tuple[float, float] = (1.0, 1.0),
        puffy: bool = False,
        lean: float = 0.0,
    ) -> None:
        """A vertical quad, or a silhouette, whose front looks along (sin facing, 0, cos facing).

        ``stretch`` shows the tile once over the whole quad; ``lean`` tilts the top backwards.
        """
        s, c = math.sin(facing), math.cos(facing)
        sl, cl = math.sin(lean), math.cos(lean)
        rows = (c, 0.0, -s, s * sl, cl, c * sl, s * cl, -sl, c * cl)
        shape = QUAD if mask < 0 else CUTOUT
        self._add(
            shape,
            rows,
            centre,
            (half_width, half_height, 1.0),
            material,
            stretch=stretch,
            one_sided=one_sided,
            mask=mask,
            mask_repeat=mask_repeat,
            puffy=puffy,
        )

    def slope(
        self, centre: Point, half_along: float, half_up: float, facing: float, pitch: float, material: Material
    ) -> None:
        """A roof plane: like `upright`, tilted back by 90° − pitch; ``half_up`` is measured along the slope."""
        self.upright(centre, half_along, half_up, facing, material, lean=math.pi / 2 - pitch)

    def box(
        self, centre: Point, half: Point, material: Material, yaw: float = 0.0, stretch: bool = False, ball: float = 1.0
    ) -> None:
        """A box; half sizes along its own x, up, z. ``ball`` scales its occluder, 0 for none."""
        radius = ball * (half[0] * half[1] * half[2]) ** (1 / 3) if ball else 0.0
        radius = min(radius, 1.6 * min(half[0], half[2]) + 0.05) if ball else 0.0
        self._add(BOX, _yaw_rows(yaw), centre, half, material, stretch=stretch, occluder=radius)

    def cylinder(
        self,
        centre: Point,
        radius: float,
        half_height: float,
        material: Material,
        taper: float = 0.0,
        radius_z: float | None = None,
        turns: float | None = None,
        axis: str = "up",
        yaw: float = 0.0,
        ball: float = 1.0,
    ) -> None:
        """A cylinder, a cone frustum (``taper``) or an elliptic one; ``axis`` is up or x."""
        other = radius if radius_z is None else radius_z
        rows = _yaw_rows(yaw)
        if axis == "x":  # local y runs along the object's x
            rows = (0.0, 1.0, 0.0, -rows[0], 0.0, -rows[2], rows[6], 0.0, rows[8])
            rows = (rows[0], rows[1], rows[2], *rows[3:6], *_cross(rows[0:3], rows[3:6]))
        around = turns if turns is not None else max(1.0, round(2 * math.pi * radius / material.metres))
        scale = (around, half_height / material.metres, radius / material.metres)
        occluder = ball * (radius * other * half_height) ** (1 / 3) if half_height < 3 * radius else ball * radius * 1.3
        self._add(
            CYLINDER, rows, centre, (radius, half_height, other), material, scale=scale, taper=taper, occluder=occluder
        )

    def ball(
        self,
        centre: Point,
        half: Point,
        material: Material,
        yaw: float = 0.0,
        from_above: bool = False,
        occluder: float = 1.0,
    ) -> None:
        """An ellipsoid."""
        radius = occluder * (half[0] * half[1] * half[2]) ** (1 / 3)
        self._add(ELLIPSOID, _yaw_rows(yaw), centre, half, material, from_above=from_above, occluder=radius)

    def blob(
        self, centre: Point, half: Point, material: Material, yaw: float = 0.0, lean: float = 0.0, roll: float = 0.0,
        occluder: float = 0.0,
    ) -> None:  # fmt: skip
        """An ellipsoid turned any way: rolled about its own z, leant about x, then yawed."""
        radius = occluder * (half[0] * half[1] * half[2]) ** (1 / 3)
        self._add(ELLIPSOID, _turned_rows(yaw, lean, roll), centre, half, material, occluder=radius)

    def block(
        self, centre: Point, half: Point, material: Material, yaw: float = 0.0, lean: float = 0.0, roll: float = 0.0,
        stretch: bool = False, ball: float = 0.0,
    ) -> None:  # fmt: skip
        """A box turned any way, as `blob` is."""
        radius = ball * (half[0] * half[1] * half[2]) ** (1 / 3)
        self._add(BOX, _turned_rows(yaw, lean, roll), centre, half, material, stretch=stretch, occluder=radius)

    def rod(
        self, start: Point, end: Point, radius: float, material: Material, taper: float = 0.0, ball: float = 0.0
    ) -> None:
        """A cylinder from ``start`` to ``end``, where it is thinner by the share ``taper``."""
        along = np.array([start[0] - end[0], end[1] - start[1], start[2] - end[2]])
        length = max(float(np.linalg.norm(along)), 1e-4)
        along /= length
        side = np.cross(along, (0.0, 0.0, 1.0) if abs(along[2]) < 0.9 else (1.0, 0.0, 0.0))
        side /= np.linalg.norm(side)
        rows = (*side, *along, *np.cross(side, along))
        centre = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, (start[2] + end[2]) / 2)
        around = max(1.0, round(2 * math.pi * radius / material.metres))
        scale = (around, length / 2 / material.metres, radius / material.metres)
        self._add(
            CYLINDER, tuple(map(float, rows)), centre, (radius, length / 2, radius), material, scale=scale, taper=taper,
            occluder=ball * radius,
        )  # fmt: skip

    def sheet(
        self, centre: Point, half_x: float, half_z: float, material: Material, mask: int,
        mask_repeat: tuple[float, float] = (1.0, 1.0),
    ) -> None:  # fmt: skip
        """A silhouette lying on the ground, seen from above; the bottom of its mask is at the far end."""
        self.upright(centre, half_x, half_z, 0.0, material, mask=mask, mask_repeat=mask_repeat, lean=math.pi / 2)

    def leaves(
        self, centre: Point, half: Point, material: Material, mask: int, repeat: float, yaw: float = 0.0
    ) -> None:
        """An ellipsoid shell full of gaps."""
        self._add(
            LEAVES, _yaw_rows(yaw), centre, half, material, mask=mask, mask_repeat=(repeat, repeat), puffy=True,
            occluder=0.75 * (half[0] * half[1] * half[2]) ** (1 / 3),
        )  # fmt: skip

    def _add(
        self,
        shape: int,
        rows: Sequence[float],
        centre: Point,
        half: Point,
        material: Material,
        scale: Point | None = None,
        stretch: bool = False,
        one_sided: bool = False,
        mask: int = -1,
        mask_repeat: tuple[float, float] = (1.0, 1.0),
        puffy: bool = False,
        taper: float = 0.0,
        from_above: bool = False,
        occluder: float = 0.0,
    ) -> None:
        if scale is None:
            scale = (
                (-0.4985 if shape in (QUAD, CUTOUT) else 0.4985, 0.4985, 0.4985)
                if stretch
                else (half[0] / material.metres, half[1] / material.metres, half[2] / material.metres)
            )
        offset = (0.5, 0.5) if stretch else (self.random.random() * 7, self.random.random() * 7)
        row = (
            *rows, centre[0], -centre[1], centre[2], *half,
            0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
            float(material.tile), *scale, *offset, 1.0 if material.mirror else 0.0, 1.0 if from_above else 0.0,
            *material.tint, material.macro, material.gloss, float(max(mask, 0)), *mask_repeat,
            1.0 if one_sided else 0.0, taper, occluder, 1.0 if puffy else 0.0, material.glow,
            *(0.0,) * (COLUMNS - GLOW - 1),
        )  # fmt: skip
        self._shapes.append(shape)
        self._group_of.append(self.group)
        self._tag_of.append(self.tag)
        self._rows.append(row)

    def __len__(self) -> int:
        return len(self._rows)

    def move(self, first: int, velocity: Point, spin: float, pivot: Point) -> None:
        """Set all primitives from number ``first`` in motion; velocity and pivot in world axes (y down)."""
        for number in range(first, len(self._rows)):
            row = self._rows[number]
            self._rows[number] = (*row[:15], *velocity, spin, *pivot, *row[22:])

    def swing(
        self,
        rows: range,
        axis: Point,
        amplitude: float,
        rate: float,
        phase: float,
        pivot: Point,
        sway: Point = (0, 0, 0),
    ) -> None:
        """Let the primitives ``rows`` swing to and fro (see `frame_tables`); axis, pivot and sway in world axes."""
        for number in rows:
            self._rows[number] = (*self._rows[number][: SWING_AXIS.start], *axis, amplitude, *pivot, rate, phase, *sway)

    # ------------------------------------------------------------------ result

    def table(self) -> "Table":
        """Everything built so far."""
        shapes = np.array(self._shapes)
        order = np.argsort(shapes, kind="stable")
        rows = np.array(self._rows, np.float32).reshape(len(shapes), COLUMNS)[order]
        return Table(rows, shapes[order], np.array(self._group_of)[order], np.array(self._tag_of)[order])


@dataclass(frozen=True)
class Table:
    """Primitives sorted by shape, with what is known about each.

    Attributes:
        rows: [P, COLUMNS] float32.
        shapes: [P] shape numbers.
        groups: [P] object numbers, 0 for the building, which is never removed.
        tags: [P] index into the builder's mentions, 0 for none.
    """

    rows: np.ndarray
    shapes: np.ndarray
    groups: np.ndarray
    tags: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """[SHAPES] int32, primitives of each shape."""
        return np.bincount(self.shapes, minlength=SHAPES).astype(np.int32)

    def keep(self, chosen: np.ndarray) -> "Table":
        """The primitives marked in the [P] bool array."""
        return Table(self.rows[chosen], self.shapes[chosen], self.groups[chosen], self.tags[chosen])


_ROOM_COLOURS: tuple[Colour, ...] = (
    (0.78, 0.76, 0.72),
    (0.82, 0.80, 0.74),
    (0.70, 0.62, 0.50),
    (0.52, 0.60, 0.55),
    (0.45, 0.55, 0.66),
    (0.72, 0.52, 0.44),
    (0.66, 0.68, 0.72),
    (0.75, 0.66, 0.42),
    (0.36, 0.42, 0.44),
    (0.60, 0.34, 0.30),
    (0.80, 0.74, 0.76),
)


_GREENS: tuple[Colour, ...] = ((0.10, 0.14, 0.04), (0.08, 0.13, 0.05), (0.13, 0.16, 0.05), (0.06, 0.10, 0.04))
_AUTUMN: tuple[Colour, ...] = ((0.30, 0.14, 0.03), (0.28, 0.20, 0.05), (0.24, 0.07, 0.03))


def _yaw_rows(yaw: float) -> tuple[float, ...]:
    s, c = math.sin(yaw), math.cos(yaw)
    return (c, 0.0, -s, 0.0, 1.0, 0.0, s, 0.0, c)


def _turned_rows(yaw: float, lean: float, roll: float) -> tuple[float, ...]:
    """Local axes in world coordinates, row by row."""
    s, c = math.sin(lean), math.cos(lean)
    tilt = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    s, c = math.sin(roll), math.cos(roll)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    axes = np.array(_yaw_rows(yaw)).reshape(3, 3).T @ tilt @ turn  # columns are local axes
    return tuple(float(value) for value in axes.T.flatten())


def muted(tint: Colour, mean: np.ndarray) -> Colour:
    """``tint`` with the saturation of tint · mean brought down to what surfaces have: vivid blue wood is rare.

    Browns and leaf greens, where blue is least and green at hand, may be far more saturated than other colours.
    """
    shown = [max(float(mean[k]) * tint[k], 1e-4) for k in range(3)]
    highest, lowest = max(shown), min(shown)
    limit = 0.9 if shown[2] == lowest and shown[1] > 0.3 * shown[0] else 0.65
    if 1 - lowest / highest <= limit:
        return tint
    grey = sum(shown) / 3
    # (lowest + a (grey − lowest)) / (highest + a (grey − highest)) = 1 − limit
    share = ((1 - limit) * highest - lowest) / (grey - lowest - (1 - limit) * (grey - highest))
    mixed = [value + share * (grey - value) for value in shown]
    return (mixed[0] / shown[0] * tint[0], mixed[1] / shown[1] * tint[1], mixed[2] / shown[2] * tint[2])


def _cross(a: Sequence[float], b: Sequence[float]) -> Point:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
