"""The ray tracer in plain torch: the CPU path and the oracle of the Triton kernel.

All shapes are unit shapes in local axes, local = M p + b, so a ray o + t d keeps its parameter t when it is mapped.
Directions are not normalised: their z in camera axes is 1, hence t is the depth.
"""

import torch
from torch import Tensor

from lyra.worlds.store import TILE_SIZE, TILE_TEXELS, TextureStore
from lyra.worlds.world import (
    BOX,
    CUTOUT,
    CYLINDER,
    DOWN_RGB,
    ELLIPSOID,
    EXPOSURE,
    FILL,
    FILL_STRENGTH,
    GLOSS,
    GLOW,
    HALF,
    HAZE,
    HAZE_RGB,
    KEY,
    KEY_IS_POINT,
    KEY_RGB,
    MACRO,
    MAPPING,
    MASK,
    MASK_REPEAT,
    MIRROR,
    ONE_SIDED,
    PUFFY,
    QUAD,
    ROOM,
    ROOM_SHADE,
    SHAPES,
    SKY,
    SKY_GAIN,
    SKY_YAW,
    TAPER,
    TILE,
    TINT,
    UP_RGB,
    UV_OFFSET,
    UV_SCALE,
    WHITE,
)

NEAREST = 1e-3
"""Hits closer than this are ignored."""

EDGE_OFFSETS = ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125))
"""Extra samples of a pixel on an edge, from its centre, in pixels."""

_TILE_SIDE = 64
_CHUNK = _TILE_SIDE * _TILE_SIDE
_INFINITY = float("inf")


def trace_frame(
    tables: Tensor,
    attributes: Tensor,
    starts: list[int],
    light: Tensor,
    store: TextureStore,
    c2w: Tensor,
    K: Tensor,
    height: int,
    width: int,
    smooth_edges: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """One frame: rgb [H, W, 3], depth [H, W] (inf in the sky), normal [H, W, 3] in camera axes (0 in the sky).

    Args:
        tables: [P, 16] world-to-local maps of this frame (see `frame_tables`).
        attributes: [P, COLUMNS] primitive table of the world.
        starts: SHAPES + 1 first rows of the shapes.
        light: [LIGHT_COLUMNS].
        c2w: [4, 4]; K: [3, 3].
        smooth_edges: average five samples where neighbouring pixels show different surfaces.
    """
    pixels = _tiled_order(height, width, c2w.device)
    back = torch.empty_like(pixels)
    back[pixels] = torch.arange(len(pixels), device=c2w.device)
    scene = _Scene(tables, attributes, starts, light, store, c2w, K, width)
    rgb, depth, surface, normal = (part[back] for part in scene.render(pixels, 0.0, 0.0))
    if smooth_edges:
        edges = pixels[edge_pixels(surface.view(1, height, width)).flatten()[pixels]]
        if len(edges):
            total = rgb[edges]
            for dx, dy in EDGE_OFFSETS:
                total = total + scene.render(edges, dx, dy)[0]
            rgb[edges] = total / (1 + len(EDGE_OFFSETS))
    return rgb.view(height, width, 3), depth.view(height, width), normal.view(height, width, 3)


def _tiled_order(height: int, width: int, device: torch.device) -> Tensor:
    """[H * W] pixel numbers, tile by tile, so that a chunk of rays is a narrow bundle."""
    y = torch.arange(height, device=device)[:, None].expand(height, width)
    x = torch.arange(width, device=device)[None].expand(height, width)
    tile = torch.div(y, _TILE_SIDE, rounding_mode="floor") * width + torch.div(x, _TILE_SIDE, rounding_mode="floor")
    return torch.argsort(tile.flatten(), stable=True)


def edge_pixels(surface: Tensor) -> Tensor:
    """[F, H, W] bool: pixels with a different surface among their four neighbours."""
    edges = torch.zeros_like(surface, dtype=torch.bool)
    vertical = surface[:, 1:] != surface[:, :-1]
    horizontal = surface[:, :, 1:] != surface[:, :, :-1]
    edges[:, 1:] |= vertical
    edges[:, :-1] |= vertical
    edges[:, :, 1:] |= horizontal
    edges[:, :, :-1] |= horizontal
    return edges


class _Scene:
    """One world at one time seen by one camera."""

    def __init__(
        self,
        tables: Tensor,
        attributes: Tensor,
        starts: list[int],
        light: Tensor,
        store: TextureStore,
        c2w: Tensor,
        K: Tensor,
        width: int,
    ) -> None:
        count = starts[SHAPES]
        self.attributes = attributes[:count]
        self.matrix = tables[:count, :9].view(count, 3, 3)
        self.offset = tables[:count, 9:12]
        self.centre = tables[:count, 12:15]
        self.bound = attributes[:count, HALF].norm(dim=1)
        self.occluder = tables[:count, 15]
        self.balls = (self.occluder > 0).nonzero()[:, 0]
        self.starts = starts
        self.light = light
        self.store = store
        self.c2w, self.K, self.width = c2w, K, width

    def render(self, pixels: Tensor, dx: float, dy: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """rgb [N, 3], depth [N], surface [N] int32, normal [N, 3] of the given pixels."""
        parts = [self._render(part, dx, dy) for part in pixels.split(_CHUNK)]
        rgb, depth, surface, normal = (torch.cat(column) for column in zip(*parts, strict=True))
        return rgb, depth, surface, normal

    def _render(self, pixels: Tensor, dx: float, dy: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = (pixels % self.width).float() + (0.5 + dx)
        y = torch.div(pixels, self.width, rounding_mode="floor").float() + (0.5 + dy)
        camera = torch.stack([(x - self.K[0, 2]) / self.K[0, 0], (y - self.K[1, 2]) / self.K[1, 1], torch.ones_like(x)])
        rays = self.c2w[:3, :3] @ camera
        origin = self.c2w[:3, 3]
        depth, hit = self.nearest(origin[:, None], rays, self.in_bundle(origin, rays))
        rgb = self.sky(rays)
        surface = torch.full_like(hit, -1, dtype=torch.int32)
        normal = torch.zeros_like(rays)
        seen = torch.isfinite(depth).nonzero()[:, 0]
        if len(seen):
            colour, shadow, n = self.shade(origin[:, None], rays[:, seen], depth[seen], hit[seen])
            rgb[:, seen] = colour
            surface[seen] = (hit[seen] * 2 + shadow).to(torch.int32)
            normal[:, seen] = self.c2w[:3, :3].T @ n
        return self.develop(rgb).T, depth, surface, normal.T

    # ---------------------------------------------------------------- intersection

    def in_bundle(self, origin: Tensor, rays: Tensor) -> Tensor:
        """[P] bool: primitives whose bounding ball touches the cone around the rays [3, N] from origin [3]."""
        unit = rays / _norm(rays)
        axis = unit.mean(1)
        axis = axis / axis.norm()
        half = torch.acos((axis @ unit).min().clamp(-1, 1))
        toward = self.centre - origin
        distance = toward.norm(dim=1)
        angle = torch.acos((toward @ axis / distance.clamp_min(1e-9)).clamp(-1, 1))
        reach = torch.asin((self.bound / distance.clamp_min(1e-9)).clamp_max(1.0))
        return (distance <= self.bound) | (angle <= half + reach + 1e-3)

    def nearest(self, origin: Tensor, rays: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Smallest t [N] (inf: none) and its primitive [N] for rays [3, N] from origin [3, 1]; candidates [P] bool."""
        best = torch.full_like(rays[0], _INFINITY)
        index = torch.zeros_like(best, dtype=torch.int64)
        for shape in range(SHAPES):
            first, last = self.starts[shape], self.starts[shape + 1]
            rows = candidates[first:last].nonzero()[:, 0] + first
            if not len(rows):
                continue
            t, which = self._hits(shape, rows, origin, rays, primary=True).min(0)
            closer = t < best
            best = torch.where(closer, t, best)
            index = torch.where(closer, rows[which], index)
        return best, index

    def blocked(self, origin: Tensor, rays: Tensor, limit: float) -> Tensor:
        """[N] bool: whether anything stands between 0 and ``limit`` along rays from origin, both [3, N]."""
        found = torch.zeros_like(rays[0], dtype=torch.bool)
        if not len(found):
            return found
        candidates = self.in_capsule(origin, rays, limit)
        for shape in range(SHAPES):
            first, last = self.starts[shape], self.starts[shape + 1]
            rows = candidates[first:last].nonzero()[:, 0] + first
            if len(rows):
                found |= (self._hits(shape, rows, origin, rays, primary=False) < limit).any(0)
        return found

    def in_capsule(self, origin: Tensor, rays: Tensor, limit: float) -> Tensor:
        """[P] bool: primitives whose bounding ball touches what the ball around the origins sweeps towards the light.

        The rays are parallel (``limit`` inf) or end in one point (``limit`` 1).
        """
        start = origin.mean(1)
        reach = self.bound + (origin - start[:, None]).norm(dim=0).max() + 1e-3
        path = rays[:, 0] if limit == _INFINITY else origin[:, 0] + rays[:, 0] - start
        toward = self.centre - start
        along = (toward @ path / (path @ path).clamp_min(1e-12)).clamp(0.0, limit)
        return (toward - along[:, None] * path).norm(dim=1) <= reach

    def _hits(self, shape: int, rows: Tensor, origin: Tensor, rays: Tensor, primary: bool) -> Tensor:
        """[P, N] t of the given primitives, all of one shape, inf where missed."""
        matrix = self.matrix[rows]
        o = (matrix @ origin + self.offset[rows, :, None]).unbind(1)
        d = (matrix @ rays).unbind(1)
        attributes = self.attributes[rows]
        if shape in (QUAD, CUTOUT):
            t = _quad(o, d, attributes[:, ONE_SIDED] > 0 if primary else None)
            return self._keep_masked(t, o, d, attributes, False) if shape == CUTOUT else t
        if shape == BOX:
            return _box(o, d)
        if shape == CYLINDER:
            return _cylinder(o, d, attributes[:, TAPER])
        near, far = _sphere(o, d)
        if shape == ELLIPSOID:
            return near
        return torch.minimum(
            self._keep_masked(near, o, d, attributes, True), self._keep_masked(far, o, d, attributes, True)
        )

    def _keep_masked(
        self, t: Tensor, o: tuple[Tensor, ...], d: tuple[Tensor, ...], attributes: Tensor, ball: bool
    ) -> Tensor:
        """t where the silhouette covers the hit, else inf."""
        row, column = torch.isfinite(t).nonzero(as_tuple=True)
        if not len(row):
            return t
        at = t[row, column]
        source = column if o[0].shape[1] > 1 else torch.zeros_like(column)
        point = [o[axis][row, source] + at * d[axis][row, column] for axis in range(3)]
        a, b = face_coordinates(*point)[:2] if ball else (point[0], point[1])
        repeat = attributes[row, MASK_REPEAT]
        covered = self.mask_value(
            attributes[row, MASK].long(), (a * 0.5 + 0.5) * repeat[:, 0], (b * 0.5 + 0.5) * repeat[:, 1]
        )
        t = t.clone()
        t[row, column] = torch.where(covered >= 128.0, at, _INFINITY)
        return t

    def mask_value(self, mask: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Bilinear value 0…255 of silhouettes, repeating."""
        size = self.store.mask_size
        x, y = (u - u.floor()) * size - 0.5, (v - v.floor()) * size - 0.5
        x0, y0 = x.floor(), y.floor()
        fx, fy = x - x0, y - y0
        i0, j0 = x0.long() & (size - 1), y0.long() & (size - 1)
        i1, j1 = (i0 + 1) & (size - 1), (j0 + 1) & (size - 1)
        base = mask * (size * size)
        masks = self.store.masks
        upper = masks[base + j0 * size + i0].float() * (1 - fx) + masks[base + j0 * size + i1].float() * fx
        lower = masks[base + j1 * size + i0].float() * (1 - fx) + masks[base + j1 * size + i1].float() * fx
        return upper * (1 - fy) + lower * fy

    # ---------------------------------------------------------------- appearance

    def shade(self, origin: Tensor, rays: Tensor, t: Tensor, hit: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Linear colour [3, N], whether the key light is blocked [N], and geometric normal [3, N] facing the ray."""
        light = self.light
        attributes = self.attributes[hit]
        point = origin + t * rays
        local, normal, u, v, density = self.surface(hit, attributes, point)
        puffy = attributes[:, PUFFY] > 0
        length = _norm(rays)
        view = rays / length
        facing = (normal * view).sum(0)
        geometric = torch.where(facing > 0, -normal, normal)
        normal = torch.where(puffy, normal, geometric)
        quad = hit < self.starts[BOX]  # silhouettes on quads bulge sideways
        matrix = self.matrix[hit]
        bulge = geometric
        for axis in (0, 1):
            side = matrix[:, axis].T
            bulge = bulge + 0.9 * local[axis] * side / _norm(side)
        bulge = bulge / _norm(bulge)
        normal = torch.where(puffy & quad, bulge, normal)

        footprint = t / self.K[0, 0] * density * TILE_SIZE * torch.rsqrt(facing.abs().clamp_min(0.05))
        lod = torch.log2(footprint.clamp(1.0, 512.0))
        albedo = self.tile_colour(attributes[:, TILE].long(), u, v, lod, attributes[:, MIRROR] > 0)
        albedo = (albedo / 255.0).pow(2.2) * attributes[:, TINT].T
        albedo = albedo * self.macro(attributes, u, v)

        if light[KEY_IS_POINT] > 0:
            toward = light[KEY][:, None] - point
            distance = _norm(toward)
            key, limit = toward / distance, 1.0
            strength = 1.0 / (distance * distance).clamp_min(0.2)
        else:
            toward = light[KEY][:, None].expand_as(point)
            key, limit = toward, _INFINITY
            strength = torch.ones_like(t)
        lift = 1e-3 + 5e-4 * t
        start = point + geometric * lift
        cosine = (normal * key).sum(0)
        cosine = torch.where(puffy, ((cosine + 0.5) / 1.5).clamp_min(0.0), cosine.clamp_min(0.0))
        needs = ((geometric * key).sum(0) > 0) | puffy
        dark = ~needs
        asked = needs.nonzero()[:, 0]
        dark[asked] = self.blocked(start[:, asked], toward[:, asked], limit)
        lit = torch.where(dark, 0.0, 1.0)
        lit = torch.where(puffy, 0.25 + 0.75 * lit, lit)

        openness = self.openness(hit, point, geometric)
        up = 0.5 - 0.5 * normal[1]
        ambient = light[DOWN_RGB][:, None] + (light[UP_RGB] - light[DOWN_RGB])[:, None] * up
        fill = (normal * light[FILL][:, None]).sum(0).clamp_min(0.0) * light[FILL_STRENGTH]
        ambient = ambient + light[UP_RGB][:, None] * fill
        direct = light[KEY_RGB][:, None] * (cosine * lit * strength * (0.5 + 0.5 * openness))
        colour = albedo * (direct + ambient * openness + attributes[:, GLOW])
        half = key - view
        half = half / _norm(half).clamp_min(1e-6)
        shine = (normal * half).sum(0).clamp_min(0.0).square().square().square().square().square()
        colour = colour + light[KEY_RGB][:, None] * (attributes[:, GLOSS] * shine * lit * strength)
        colour = colour * light[EXPOSURE]
        clear = torch.exp(-light[HAZE] * t * length)
        colour = colour * clear + light[HAZE_RGB][:, None] * (1 - clear)
        return colour, dark & needs, geometric

    def surface(self, hit: Tensor, attributes: Tensor, point: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """local [3, N], outward unit normal [3, N], texture u, v [N] in tiles, tiles per metre [N]."""
        matrix = self.matrix[hit]
        local = (matrix * point.T[:, None, :]).sum(-1).T + self.offset[hit].T
        x, y, z = local
        scale = attributes[:, UV_SCALE].T
        inverse = _norm(matrix.permute(2, 0, 1)).T  # [3, N], one over the half sizes
        is_flat, is_box = hit < self.starts[BOX], (hit >= self.starts[BOX]) & (hit < self.starts[CYLINDER])
        is_tube = (hit >= self.starts[CYLINDER]) & (hit < self.starts[ELLIPSOID])

        a, b, face = face_coordinates(x, y, z)
        face = torch.where(is_flat, 2, face)
        face = torch.where(attributes[:, MAPPING] > 0, 1, face)
        sign = torch.where(torch.stack([x, y, z]).gather(0, face[None])[0] < 0, -1.0, 1.0)
        first = torch.where(face == 0, z, x)
        second = torch.where(face == 1, z, y)
        first_axis = torch.where(face == 0, 2, 0)[None]
        second_axis = torch.where(face == 1, 2, 1)[None]
        scale_u, scale_v = scale.gather(0, first_axis)[0], scale.gather(0, second_axis)[0]
        u, v = first * scale_u, second * scale_v
        density_u, density_v = scale_u * inverse.gather(0, first_axis)[0], scale_v * inverse.gather(0, second_axis)[0]
        box_normal = torch.stack([torch.where(face == axis, sign, 0.0) for axis in range(3)])
        flat_normal = torch.stack([torch.zeros_like(x), torch.zeros_like(x), torch.ones_like(x)])
        n = torch.where(is_flat, flat_normal, torch.where(is_box, box_normal, local))

        b_taper = 0.5 * attributes[:, TAPER]
        radius = 1 - b_taper + b_taper * y
        cap = (y.abs() > 0.9995) & (x * x + z * z < (radius * 0.9995).square())
        side = torch.stack([x, -b_taper * radius, z])
        top = torch.stack([torch.zeros_like(x), torch.where(y < 0, -1.0, 1.0), torch.zeros_like(x)])
        n = torch.where(is_tube, torch.where(cap, top, side), n)
        turn = arctan2(x, z) * (0.5 / torch.pi)
        u = torch.where(is_tube, torch.where(cap, x * scale[2], turn * scale[0]), u)
        v = torch.where(is_tube, torch.where(cap, z * scale[2], y * scale[1]), v)
        density_u = torch.where(is_tube, torch.where(cap, scale[2], scale[0] * 0.16) * inverse[0], density_u)
        density_v = torch.where(is_tube, torch.where(cap, scale[2] * inverse[0], scale[1] * inverse[1]), density_v)

        offset = attributes[:, UV_OFFSET].T
        density = torch.sqrt((density_u * density_v).abs())
        normal = (matrix * n.T[:, :, None]).sum(1).T
        return local, normal / _norm(normal), u + offset[0], v + offset[1], density

    def tile_colour(self, tile: Tensor, u: Tensor, v: Tensor, lod: Tensor, mirror: Tensor) -> Tensor:
        """Trilinear colour 0…255 [3, N]."""
        level = lod.floor().clamp(0, 8)
        weight = lod - level
        fine = self._tile_level(tile, u, v, level.long(), mirror)
        coarse = self._tile_level(tile, u, v, level.long() + 1, mirror)
        return fine + (coarse - fine) * weight

    def _tile_level(self, tile: Tensor, u: Tensor, v: Tensor, level: Tensor, mirror: Tensor) -> Tensor:
        size = torch.bitwise_right_shift(torch.full_like(level, TILE_SIZE), level)
        base = (
            tile * TILE_TEXELS
            + ((1 << 20) - torch.bitwise_right_shift(torch.full_like(level, 1 << 20), 2 * level)) // 3
        )
        x, i0, i1 = _wrap(u, size, mirror)
        y, j0, j1 = _wrap(v, size, mirror)
        texels = self.store.tiles
        c00, c01 = _unpack(texels[base + j0 * size + i0]), _unpack(texels[base + j0 * size + i1])
        c10, c11 = _unpack(texels[base + j1 * size + i0]), _unpack(texels[base + j1 * size + i1])
        upper = c00 + (c01 - c00) * x
        return upper + (c10 + (c11 - c10) * x - upper) * y

    def macro(self, attributes: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Slow brightness changes [N], which hide that a tile repeats."""
        tile = attributes[:, TILE].long()
        level = torch.full_like(tile, 4)
        always = torch.ones_like(tile, dtype=torch.bool)
        slow = self._tile_level(tile, 0.11 * u + 0.07 * v, 0.11 * v - 0.07 * u, level, always).sum(0)
        mean = _unpack(self.store.tiles[tile * TILE_TEXELS + TILE_TEXELS - 1]).sum(0)
        return (1.0 + attributes[:, MACRO] * (slow / mean.clamp_min(1.0) - 1.0)).clamp(0.4, 1.7)

    def openness(self, hit: Tensor, point: Tensor, normal: Tensor) -> Tensor:
        """Share of the ambient light that arrives [N]: balls stand for objects, exponentials for room corners.

        A ball of radius r at distance l blocks max(n·l, 0) r² / l³ of the cosine-weighted hemisphere (Quilez).
        """
        open_share = torch.ones_like(point[0])
        for ball in self.balls.tolist():
            toward = self.centre[ball][:, None] - point
            distance2 = toward.square().sum(0).clamp_min(1e-6)
            radius2 = self.occluder[ball] * self.occluder[ball]
            inverse = torch.rsqrt(distance2)
            block = (normal * toward).sum(0).clamp_min(0.0) * inverse * (radius2 / distance2).clamp_max(1.0)
            block = torch.where(hit == ball, 0.0, block)
            open_share = open_share * (1 - 0.8 * block)
        room, shade = self.light[ROOM], self.light[ROOM_SHADE]
        for axis in range(3):
            across = shade * (1 - normal[axis].abs())
            low = torch.exp(-3.5 * (point[axis] - room[2 * axis]).clamp_min(0.0))
            high = torch.exp(-3.5 * (room[2 * axis + 1] - point[axis]).clamp_min(0.0))
            open_share = open_share * (1 - across * low) * (1 - across * high)
        return open_share

    def sky(self, rays: Tensor) -> Tensor:
        """Linear colour [3, N] of the sky; the map's middle column is +z, columns grow towards +x."""
        store = self.store
        x, y, z = rays
        u = arctan2(x, z) * (0.5 / torch.pi) + 0.5 + self.light[SKY_YAW] * (0.5 / torch.pi)
        v = arctan2(torch.sqrt(x * x + z * z), -y) / torch.pi
        column = (u - u.floor()) * store.sky_width - 0.5
        row = (v * store.sky_height - 0.5).clamp(0.0, store.sky_height - 1.0)
        i, j = column.floor(), row.floor()
        fx, fy = column - i, row - j
        i0 = i.long() & (store.sky_width - 1)
        i1 = (i0 + 1) & (store.sky_width - 1)
        j0 = j.long()
        j1 = (j0 + 1).clamp_max(store.sky_height - 1)
        base = self.light[SKY].long() * (store.sky_height * store.sky_width)
        c00, c01 = (_unpack(store.skies[base + j0 * store.sky_width + k]) for k in (i0, i1))
        c10, c11 = (_unpack(store.skies[base + j1 * store.sky_width + k]) for k in (i0, i1))
        upper = c00 + (c01 - c00) * fx
        colour = upper + (c10 + (c11 - c10) * fx - upper) * fy
        return (colour / 255.0).pow(2.2) * self.light[SKY_GAIN]

    def develop(self, colour: Tensor) -> Tensor:
        """Linear light to sRGB-like values 0…1: white balance, soft shoulder, gamma 2.2."""
        colour = (colour * self.light[WHITE][:, None]).clamp(0.0, 50.0)
        square = colour * colour
        return (colour * torch.rsqrt(torch.sqrt(1 + square * square))).pow(1 / 2.2)


def _quad(o: tuple[Tensor, ...], d: tuple[Tensor, ...], one_sided: Tensor | None) -> Tensor:
    t = -o[2] / d[2]
    inside = ((o[0] + t * d[0]).abs() <= 1) & ((o[1] + t * d[1]).abs() <= 1) & (t > NEAREST)
    if one_sided is not None:
        inside &= ~(one_sided[:, None] & (d[2] > 0))
    return torch.where(inside, t, _INFINITY)


def _box(o: tuple[Tensor, ...], d: tuple[Tensor, ...]) -> Tensor:
    enter, leave = None, None
    for axis in range(3):
        inverse = 1.0 / torch.where(d[axis].abs() < 1e-9, 1e-9, d[axis])
        middle, reach = -o[axis] * inverse, inverse.abs()
        near, far = middle - reach, middle + reach
        enter = near if enter is None else torch.maximum(enter, near)
        leave = far if leave is None else torch.minimum(leave, far)
    assert enter is not None and leave is not None
    return torch.where((enter <= leave) & (enter > NEAREST), enter, _INFINITY)


def _cylinder(o: tuple[Tensor, ...], d: tuple[Tensor, ...], taper: Tensor) -> Tensor:
    """Radius a + b y over y in −1…1, closed at both ends."""
    b = (0.5 * taper)[:, None]
    ring = 1 - b + b * o[1]
    A = d[0] * d[0] + d[2] * d[2] - b * b * d[1] * d[1]
    A = torch.where(A.abs() < 1e-9, 1e-9, A)
    B = o[0] * d[0] + o[2] * d[2] - b * d[1] * ring
    C = o[0] * o[0] + o[2] * o[2] - ring * ring
    root = B * B - A * C
    is_real = root >= 0
    root = torch.sqrt(root.clamp_min(0.0))
    best = torch.full_like(A, _INFINITY)
    for sign in (-1.0, 1.0):
        t = (-B + sign * root) / A
        y = o[1] + t * d[1]
        good = is_real & (y.abs() <= 1) & (1 - b + b * y >= 0) & (t > NEAREST)
        best = torch.minimum(best, torch.where(good, t, _INFINITY))
    slope = torch.where(d[1].abs() < 1e-9, 1e-9, d[1])
    for end in (-1.0, 1.0):
        t = (end - o[1]) / slope
        x, z = o[0] + t * d[0], o[2] + t * d[2]
        radius = 1 - b + b * end
        good = (x * x + z * z <= radius * radius) & (t > NEAREST)
        best = torch.minimum(best, torch.where(good, t, _INFINITY))
    return best


def _sphere(o: tuple[Tensor, ...], d: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    A = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    B = o[0] * d[0] + o[1] * d[1] + o[2] * d[2]
    C = o[0] * o[0] + o[1] * o[1] + o[2] * o[2] - 1
    root = B * B - A * C
    is_real = root >= 0
    root = torch.sqrt(root.clamp_min(0.0))
    near, far = (-B - root) / A, (-B + root) / A
    return (
        torch.where(is_real & (near > NEAREST), near, _INFINITY),
        torch.where(is_real & (far > NEAREST), far, _INFINITY),
    )


def face_coordinates(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Coordinates a, b on the cube face that a point projects to, and the axis of that face."""
    ax, ay, az = x.abs(), y.abs(), z.abs()
    face = torch.where((ay >= ax) & (ay >= az), 1, torch.where(ax >= az, 0, 2))
    return torch.where(face == 0, z, x), torch.where(face == 1, z, y), face


def arctan2(y: Tensor, x: Tensor) -> Tensor:
    """Angle of (x, y) by a polynomial with an error below 3e-4 rad, the same in every backend."""
    ax, ay = x.abs(), y.abs()
    ratio = torch.minimum(ax, ay) / torch.maximum(ax, ay).clamp_min(1e-12)
    square = ratio * ratio
    angle = ((-0.0464964749 * square + 0.15931422) * square - 0.327622764) * square * ratio + ratio
    angle = torch.where(ay > ax, 1.57079633 - angle, angle)
    angle = torch.where(x < 0, 3.14159265 - angle, angle)
    return torch.where(y < 0, -angle, angle)


def _wrap(u: Tensor, size: Tensor, mirror: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fraction and the two texel indices of a texture coordinate."""
    folded = 1 - (u - 2 * (0.5 * u).floor() - 1).abs()
    x = torch.where(mirror, folded, u - u.floor()) * size - 0.5
    low = x.floor()
    index = low.long()
    last = size - 1
    first = torch.where(mirror, torch.minimum(index.clamp_min(0), last), index & last)
    second = torch.where(mirror, torch.minimum((index + 1).clamp_min(0), last), (index + 1) & last)
    return x - low, first, second


def _unpack(texel: Tensor) -> Tensor:
    """[N] int32 → [3, N] float 0…255."""
    return torch.stack([texel & 255, (texel >> 8) & 255, (texel >> 16) & 255]).float()


def _norm(vectors: Tensor) -> Tensor:
    """Length over the first axis."""
    return torch.sqrt((vectors * vectors).sum(0))
