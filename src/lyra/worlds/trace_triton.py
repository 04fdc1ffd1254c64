"""The ray tracer as one Triton kernel, with the maths of `lyra.worlds.trace_torch` line by line.

One program handles BLOCK pixels of one frame: a loop over the primitives of each shape finds the nearest hit, the same
loop along the ray to the light finds shadows, a third one sums the balls that darken corners. A second launch takes
four more samples of the pixels on edges, which are listed frame by frame.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from lyra.worlds import world as columns
from lyra.worlds.motion import FRAME_COLUMNS
from lyra.worlds.store import TILE_TEXELS, TextureStore
from lyra.worlds.trace_torch import EDGE_OFFSETS, NEAREST, edge_pixels
from lyra.worlds.world import WorldBatch

_BLOCK = 128
_WARPS = 4
_FRAMES_PER_LAUNCH = 256

_TABLE = tl.constexpr(FRAME_COLUMNS)
_COLUMNS = tl.constexpr(columns.COLUMNS)
_LIGHT = tl.constexpr(columns.LIGHT_COLUMNS)
_TEXELS = tl.constexpr(TILE_TEXELS)
_NEAREST = tl.constexpr(NEAREST)
_FAR = tl.constexpr(float("inf"))
_TILE = tl.constexpr(columns.TILE)
_UV_SCALE = tl.constexpr(columns.UV_SCALE.start)
_UV_OFFSET = tl.constexpr(columns.UV_OFFSET.start)
_MIRROR = tl.constexpr(columns.MIRROR)
_MAPPING = tl.constexpr(columns.MAPPING)
_TINT = tl.constexpr(columns.TINT.start)
_MACRO = tl.constexpr(columns.MACRO)
_GLOSS = tl.constexpr(columns.GLOSS)
_MASK = tl.constexpr(columns.MASK)
_MASK_REPEAT = tl.constexpr(columns.MASK_REPEAT.start)
_ONE_SIDED = tl.constexpr(columns.ONE_SIDED)
_TAPER = tl.constexpr(columns.TAPER)
_PUFFY = tl.constexpr(columns.PUFFY)
_GLOW = tl.constexpr(columns.GLOW)
_KEY = tl.constexpr(columns.KEY.start)
_KEY_IS_POINT = tl.constexpr(columns.KEY_IS_POINT)
_KEY_RGB = tl.constexpr(columns.KEY_RGB.start)
_UP_RGB = tl.constexpr(columns.UP_RGB.start)
_DOWN_RGB = tl.constexpr(columns.DOWN_RGB.start)
_HAZE_RGB = tl.constexpr(columns.HAZE_RGB.start)
_HAZE = tl.constexpr(columns.HAZE)
_EXPOSURE = tl.constexpr(columns.EXPOSURE)
_WHITE = tl.constexpr(columns.WHITE.start)
_SKY = tl.constexpr(columns.SKY)
_SKY_YAW = tl.constexpr(columns.SKY_YAW)
_SKY_GAIN = tl.constexpr(columns.SKY_GAIN)
_ROOM = tl.constexpr(columns.ROOM.start)
_ROOM_SHADE = tl.constexpr(columns.ROOM_SHADE)
_FILL = tl.constexpr(columns.FILL.start)
_FILL_STRENGTH = tl.constexpr(columns.FILL_STRENGTH)
_OX0, _OY0 = (tl.constexpr(value) for value in EDGE_OFFSETS[0])
_OX1, _OY1 = (tl.constexpr(value) for value in EDGE_OFFSETS[1])
_OX2, _OY2 = (tl.constexpr(value) for value in EDGE_OFFSETS[2])
_OX3, _OY3 = (tl.constexpr(value) for value in EDGE_OFFSETS[3])


def trace_frames(
    batch: WorldBatch,
    textures: TextureStore,
    index: Tensor,
    tables: Tensor,
    c2w: Tensor,
    K: Tensor,
    height: int,
    width: int,
    smooth_edges: bool,
    normals: bool = True,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """rgb [F, 3, H, W], depth [F, H, W] (inf in the sky) and normal [F, 3, H, W] (or ``None``) of F frames.

    Args:
        index: [F] int64, world of each frame; tables: [F, P, 16] (see `frame_tables`); c2w: [F, 4, 4]; K: [F, 3, 3].
    """
    frames, device = len(index), batch.device
    rgb = torch.empty(frames, 3, height, width, device=device)
    depth = torch.empty(frames, height, width, device=device)
    normal = torch.empty(frames, 3, height, width, device=device) if normals else None
    world = index.to(torch.int32)
    poses = c2w[:, :3].reshape(frames, 12).contiguous()
    pinholes = torch.stack([K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2]], 1).contiguous()
    for start in range(0, frames, _FRAMES_PER_LAUNCH):
        part = slice(start, min(start + _FRAMES_PER_LAUNCH, frames))
        _launch(
            batch, textures, world[part], tables[part], poses[part], pinholes[part],
            rgb[part], depth[part], None if normal is None else normal[part], smooth_edges,
        )  # fmt: skip
    return rgb, depth, normal


def _launch(
    batch: WorldBatch,
    textures: TextureStore,
    world: Tensor,
    tables: Tensor,
    poses: Tensor,
    pinholes: Tensor,
    rgb: Tensor,
    depth: Tensor,
    normal: Tensor | None,
    smooth_edges: bool,
) -> None:
    frames, _, height, width = rgb.shape
    surface = torch.empty(frames, height, width, dtype=torch.int32, device=rgb.device)
    pixels = height * width

    def run(blocks: int, edges: bool, listed: Tensor, first: Tensor) -> None:
        _kernel[(frames * blocks,)](
            tables, batch.primitives, batch.starts, batch.light, world, poses, pinholes,
            textures.tiles, textures.skies, textures.masks,
            rgb, depth, surface, depth if normal is None else normal, listed, first,
            blocks, tables.shape[1], pixels, width,
            EDGES=edges, NORMALS=normal is not None, BLOCK=_BLOCK,
            MASK_SIZE=textures.mask_size, SKY_HEIGHT=textures.sky_height, SKY_WIDTH=textures.sky_width,
            num_warps=_WARPS,
        )  # fmt: skip

    run(triton.cdiv(pixels, _BLOCK), False, surface, world)
    if not smooth_edges:
        return
    edges = edge_pixels(surface).flatten(1)
    counts = edges.sum(1)
    listed = edges.nonzero()[:, 1].to(torch.int32)
    if len(listed) == 0:
        return
    first = torch.zeros(frames + 1, dtype=torch.int32, device=rgb.device)
    first[1:] = counts.cumsum(0)
    run(triton.cdiv(int(counts.max()), _BLOCK), True, listed, first)


@triton.jit
def _arctan2(y, x):
    ax, ay = tl.abs(x), tl.abs(y)
    ratio = tl.minimum(ax, ay) / tl.maximum(tl.maximum(ax, ay), 1e-12)
    square = ratio * ratio
    angle = ((-0.0464964749 * square + 0.15931422) * square - 0.327622764) * square * ratio + ratio
    angle = tl.where(ay > ax, 1.57079633 - angle, angle)
    angle = tl.where(x < 0, 3.14159265 - angle, angle)
    return tl.where(y < 0, -angle, angle)


@triton.jit
def _length(x, y, z):
    return tl.sqrt(x * x + y * y + z * z)


@triton.jit
def _red(texel):
    return (texel & 255).to(tl.float32)


@triton.jit
def _green(texel):
    return ((texel >> 8) & 255).to(tl.float32)


@triton.jit
def _blue(texel):
    return ((texel >> 16) & 255).to(tl.float32)


@triton.jit
def _linear(value):
    """sRGB-like 0…255 to linear 0…1."""
    return tl.exp2(2.2 * tl.log2(tl.maximum(value * (1.0 / 255.0), 1e-9)))


@triton.jit
def _mask_value(masks, mask, u, v, active, MASK_SIZE: tl.constexpr):
    x, y = (u - tl.floor(u)) * MASK_SIZE - 0.5, (v - tl.floor(v)) * MASK_SIZE - 0.5
    x0, y0 = tl.floor(x), tl.floor(y)
    fx, fy = x - x0, y - y0
    i0, j0 = x0.to(tl.int32) & (MASK_SIZE - 1), y0.to(tl.int32) & (MASK_SIZE - 1)
    i1, j1 = (i0 + 1) & (MASK_SIZE - 1), (j0 + 1) & (MASK_SIZE - 1)
    base = masks + mask.to(tl.int32) * (MASK_SIZE * MASK_SIZE)
    m00 = tl.load(base + j0 * MASK_SIZE + i0, mask=active, other=0).to(tl.float32)
    m01 = tl.load(base + j0 * MASK_SIZE + i1, mask=active, other=0).to(tl.float32)
    m10 = tl.load(base + j1 * MASK_SIZE + i0, mask=active, other=0).to(tl.float32)
    m11 = tl.load(base + j1 * MASK_SIZE + i1, mask=active, other=0).to(tl.float32)
    upper = m00 * (1 - fx) + m01 * fx
    lower = m10 * (1 - fx) + m11 * fx
    return upper * (1 - fy) + lower * fy


@triton.jit
def _face_a(x, y, z):
    """First coordinate on the cube face of a point."""
    ax, ay, az = tl.abs(x), tl.abs(y), tl.abs(z)
    vertical = (ay >= ax) & (ay >= az)
    return tl.where((ax >= az) & (vertical == 0), z, x)


@triton.jit
def _face_b(x, y, z):
    """Second coordinate on the cube face of a point."""
    ax, ay, az = tl.abs(x), tl.abs(y), tl.abs(z)
    return tl.where((ay >= ax) & (ay >= az), z, y)


@triton.jit
def _to_local(row, ox, oy, oz, dx, dy, dz):
    """Origin and direction in the local axes of one primitive."""
    m0, m1, m2 = tl.load(row), tl.load(row + 1), tl.load(row + 2)
    m3, m4, m5 = tl.load(row + 3), tl.load(row + 4), tl.load(row + 5)
    m6, m7, m8 = tl.load(row + 6), tl.load(row + 7), tl.load(row + 8)
    px = m0 * ox + m1 * oy + m2 * oz + tl.load(row + 9)
    py = m3 * ox + m4 * oy + m5 * oz + tl.load(row + 10)
    pz = m6 * ox + m7 * oy + m8 * oz + tl.load(row + 11)
    qx = m0 * dx + m1 * dy + m2 * dz
    qy = m3 * dx + m4 * dy + m5 * dz
    qz = m6 * dx + m7 * dy + m8 * dz
    return px, py, pz, qx, qy, qz


@triton.jit
def _quad_t(px, py, pz, qx, qy, qz, visible):
    t = -pz / qz
    inside = (tl.abs(px + t * qx) <= 1) & (tl.abs(py + t * qy) <= 1) & (t > _NEAREST) & visible
    return tl.where(inside, t, _FAR)


@triton.jit
def _guard(d):
    return tl.where(tl.abs(d) < 1e-9, 1e-9, d)


@triton.jit
def _covered(attributes, masks, t, px, py, pz, qx, qy, qz, BALL: tl.constexpr, MASK_SIZE: tl.constexpr):
    """t where the silhouette of a primitive covers the hit, else inf."""
    active = t < _FAR
    at = tl.where(active, t, 0.0)
    x, y, z = px + at * qx, py + at * qy, pz + at * qz
    if BALL:
        a, b = _face_a(x, y, z), _face_b(x, y, z)
    else:
        a, b = x, y
    u = (a * 0.5 + 0.5) * tl.load(attributes + _MASK_REPEAT)
    v = (b * 0.5 + 0.5) * tl.load(attributes + _MASK_REPEAT + 1)
    value = _mask_value(masks, tl.load(attributes + _MASK), u, v, active, MASK_SIZE)
    return tl.where(active & (value >= 128.0), t, _FAR)


@triton.jit
def _nearest(table, attributes, s0, s1, s2, s3, s4, s5, s6, masks, ox, oy, oz, dx, dy, dz,
             PRIMARY: tl.constexpr, MASK_SIZE: tl.constexpr):  # fmt: skip
    """Smallest t (inf: none) and its primitive."""
    best = dx * 0.0 + _FAR
    hit = (dx * 0.0).to(tl.int32)
    for i in range(s0, s1):  # quads
        px, py, pz, qx, qy, qz = _to_local(table + i * _TABLE, ox, oy, oz, dx, dy, dz)
        visible = qz == qz
        if PRIMARY:
            visible = tl.load(attributes + i * _COLUMNS + _ONE_SIDED) * qz <= 0
        t = _quad_t(px, py, pz, qx, qy, qz, visible)
        hit = tl.where(t < best, i, hit)
        best = tl.minimum(t, best)
    for i in range(s1, s2):  # silhouettes
        px, py, pz, qx, qy, qz = _to_local(table + i * _TABLE, ox, oy, oz, dx, dy, dz)
        visible = qz == qz
        if PRIMARY:
            visible = tl.load(attributes + i * _COLUMNS + _ONE_SIDED) * qz <= 0
        t = _quad_t(px, py, pz, qx, qy, qz, visible)
        t = tl.where(t < best, t, _FAR)
        t = _covered(attributes + i * _COLUMNS, masks, t, px, py, pz, qx, qy, qz, False, MASK_SIZE)
        hit = tl.where(t < best, i, hit)
        best = tl.minimum(t, best)
    for i in range(s2, s3):  # boxes
        px, py, pz, qx, qy, qz = _to_local(table + i * _TABLE, ox, oy, oz, dx, dy, dz)
        ix, iy, iz = 1.0 / _guard(qx), 1.0 / _guard(qy), 1.0 / _guard(qz)
        mx, my, mz = -px * ix, -py * iy, -pz * iz
        rx, ry, rz = tl.abs(ix), tl.abs(iy), tl.abs(iz)
        enter = tl.maximum(tl.maximum(mx - rx, my - ry), mz - rz)
        leave = tl.minimum(tl.minimum(mx + rx, my + ry), mz + rz)
        t = tl.where((enter <= leave) & (enter > _NEAREST), enter, _FAR)
        hit = tl.where(t < best, i, hit)
        best = tl.minimum(t, best)
    for i in range(s3, s4):  # tubes
        px, py, pz, qx, qy, qz = _to_local(table + i * _TABLE, ox, oy, oz, dx, dy, dz)
        b = 0.5 * tl.load(attributes + i * _COLUMNS + _TAPER)
        ring = 1 - b + b * py
        A = _guard(qx * qx + qz * qz - b * b * qy * qy)
        B = px * qx + pz * qz - b * qy * ring
        C = px * px + pz * pz - ring * ring
        root = B * B - A * C
        is_real = root >= 0
        root = tl.sqrt(tl.maximum(root, 0.0))
        t = (-B - root) / A
        y = py + t * qy
        near = tl.where(is_real & (tl.abs(y) <= 1) & (1 - b + b * y >= 0) & (t > _NEAREST), t, _FAR)
        t = (-B + root) / A
        y = py + t * qy
        far = tl.where(is_real & (tl.abs(y) <= 1) & (1 - b + b * y >= 0) & (t > _NEAREST), t, _FAR)
        slope = _guard(qy)
        t = (-1.0 - py) / slope
        x, z = px + t * qx, pz + t * qz
        top = tl.where((x * x + z * z <= (1 - 2 * b) * (1 - 2 * b)) & (t > _NEAREST), t, _FAR)
        t = (1.0 - py) / slope
        x, z = px + t * qx, pz + t * qz
        bottom = tl.where((x * x + z * z <= 1.0) & (t > _NEAREST), t, _FAR)
        t = tl.minimum(tl.minimum(near, far), tl.minimum(top, bottom))
        hit = tl.where(t < best, i, hit)
        best = tl.minimum(t, best)
    for i in range(s4, s5):  # balls
        px, py, pz, qx, qy, qz = _to_local(table + i * _TABLE, ox, oy, oz, dx, dy, dz)
        A = qx * qx + qy * qy + qz * qz
        B = px * qx + py * qy + pz * qz
        C = px * px + py * py + pz * pz - 1
        root = B * B - A * C
        t = (-B - tl.sqrt(tl.maximum(root, 0.0))) / A
        t = tl.where((root >= 0) & (t > _NEAREST), t, _FAR)
        hit = tl.where(t < best, i, hit)
        best = tl.minimum(t, best)
    for i in range(s5, s6):  # shells of leaves
        px, py, pz, qx, qy, qz = _to_local(table + i * _TABLE, ox, oy, oz, dx, dy, dz)
        A = qx * qx + qy * qy + qz * qz
        B = px * qx + py * qy + pz * qz
        C = px * px + py * py + pz * pz - 1
        root = B * B - A * C
        is_real = root >= 0
        root = tl.sqrt(tl.maximum(root, 0.0))
        near, far = (-B - root) / A, (-B + root) / A
        near = tl.where(is_real & (near > _NEAREST) & (near < best), near, _FAR)
        far = tl.where(is_real & (far > _NEAREST) & (far < best), far, _FAR)
        near = _covered(attributes + i * _COLUMNS, masks, near, px, py, pz, qx, qy, qz, True, MASK_SIZE)
        far = _covered(attributes + i * _COLUMNS, masks, far, px, py, pz, qx, qy, qz, True, MASK_SIZE)
        t = tl.minimum(near, far)
        hit = tl.where(t < best, i, hit)
        best = tl.minimum(t, best)
    return best, hit


@triton.jit
def _tile_level(tiles, tile, u, v, level, mirror, active):
    """Bilinear colour 0…255 of one mip level."""
    size = 512 >> level
    base = tile * _TEXELS + ((1 << 20) - ((1 << 20) >> (2 * level))) // 3
    last = size - 1
    sizes = size.to(tl.float32)
    x = tl.where(mirror, 1 - tl.abs(u - 2 * tl.floor(0.5 * u) - 1), u - tl.floor(u)) * sizes - 0.5
    y = tl.where(mirror, 1 - tl.abs(v - 2 * tl.floor(0.5 * v) - 1), v - tl.floor(v)) * sizes - 0.5
    x0, y0 = tl.floor(x), tl.floor(y)
    fx, fy = x - x0, y - y0
    i, j = x0.to(tl.int32), y0.to(tl.int32)
    i0 = tl.where(mirror, tl.minimum(tl.maximum(i, 0), last), i & last)
    i1 = tl.where(mirror, tl.minimum(tl.maximum(i + 1, 0), last), (i + 1) & last)
    j0 = tl.where(mirror, tl.minimum(tl.maximum(j, 0), last), j & last)
    j1 = tl.where(mirror, tl.minimum(tl.maximum(j + 1, 0), last), (j + 1) & last)
    c00 = tl.load(tiles + (base + j0 * size + i0), mask=active, other=0)
    c01 = tl.load(tiles + (base + j0 * size + i1), mask=active, other=0)
    c10 = tl.load(tiles + (base + j1 * size + i0), mask=active, other=0)
    c11 = tl.load(tiles + (base + j1 * size + i1), mask=active, other=0)
    return _blend(c00, c01, c10, c11, fx, fy)


@triton.jit
def _blend(c00, c01, c10, c11, fx, fy):
    r = _red(c00) + (_red(c01) - _red(c00)) * fx
    g = _green(c00) + (_green(c01) - _green(c00)) * fx
    b = _blue(c00) + (_blue(c01) - _blue(c00)) * fx
    r = r + (_red(c10) + (_red(c11) - _red(c10)) * fx - r) * fy
    g = g + (_green(c10) + (_green(c11) - _green(c10)) * fx - g) * fy
    b = b + (_blue(c10) + (_blue(c11) - _blue(c10)) * fx - b) * fy
    return r, g, b


@triton.jit
def _sky(skies, light, x, y, z, active, SKY_HEIGHT: tl.constexpr, SKY_WIDTH: tl.constexpr):
    """Linear colour of the sky along a ray."""
    u = _arctan2(x, z) * 0.15915494309 + 0.5 + tl.load(light + _SKY_YAW) * 0.15915494309
    v = _arctan2(tl.sqrt(x * x + z * z), -y) * 0.31830988618
    column = (u - tl.floor(u)) * SKY_WIDTH - 0.5
    row = tl.minimum(tl.maximum(v * SKY_HEIGHT - 0.5, 0.0), SKY_HEIGHT - 1.0)
    i, j = tl.floor(column), tl.floor(row)
    fx, fy = column - i, row - j
    i0 = i.to(tl.int32) & (SKY_WIDTH - 1)
    i1 = (i0 + 1) & (SKY_WIDTH - 1)
    j0 = j.to(tl.int32)
    j1 = tl.minimum(j0 + 1, SKY_HEIGHT - 1)
    base = skies + tl.load(light + _SKY).to(tl.int32) * (SKY_HEIGHT * SKY_WIDTH)
    c00 = tl.load(base + j0 * SKY_WIDTH + i0, mask=active, other=0)
    c01 = tl.load(base + j0 * SKY_WIDTH + i1, mask=active, other=0)
    c10 = tl.load(base + j1 * SKY_WIDTH + i0, mask=active, other=0)
    c11 = tl.load(base + j1 * SKY_WIDTH + i1, mask=active, other=0)
    r, g, b = _blend(c00, c01, c10, c11, fx, fy)
    gain = tl.load(light + _SKY_GAIN)
    return _linear(r) * gain, _linear(g) * gain, _linear(b) * gain


@triton.jit
def _develop(colour, gain):
    colour = tl.minimum(tl.maximum(colour * gain, 0.0), 50.0)
    square = colour * colour
    colour = colour * tl.rsqrt(tl.sqrt(1 + square * square))
    return tl.exp2(0.45454545454 * tl.log2(tl.maximum(colour, 1e-9)))


@triton.jit
def _openness(table, light, count, hit, x, y, z, nx, ny, nz):
    """Share of the ambient light that arrives."""
    share = x * 0.0 + 1.0
    for i in range(0, count):
        radius = tl.load(table + i * _TABLE + 15)
        if radius > 0:
            tx = tl.load(table + i * _TABLE + 12) - x
            ty = tl.load(table + i * _TABLE + 13) - y
            tz = tl.load(table + i * _TABLE + 14) - z
            distance2 = tl.maximum(tx * tx + ty * ty + tz * tz, 1e-6)
            facing = tl.maximum(nx * tx + ny * ty + nz * tz, 0.0) * tl.rsqrt(distance2)
            block = facing * tl.minimum(radius * radius / distance2, 1.0)
            share = share * (1 - 0.8 * tl.where(hit == i, 0.0, block))
    shade = tl.load(light + _ROOM_SHADE)
    across = shade * (1 - tl.abs(nx))
    share = share * (1 - across * tl.exp(-3.5 * tl.maximum(x - tl.load(light + _ROOM), 0.0)))
    share = share * (1 - across * tl.exp(-3.5 * tl.maximum(tl.load(light + _ROOM + 1) - x, 0.0)))
    across = shade * (1 - tl.abs(ny))
    share = share * (1 - across * tl.exp(-3.5 * tl.maximum(y - tl.load(light + _ROOM + 2), 0.0)))
    share = share * (1 - across * tl.exp(-3.5 * tl.maximum(tl.load(light + _ROOM + 3) - y, 0.0)))
    across = shade * (1 - tl.abs(nz))
    share = share * (1 - across * tl.exp(-3.5 * tl.maximum(z - tl.load(light + _ROOM + 4), 0.0)))
    share = share * (1 - across * tl.exp(-3.5 * tl.maximum(tl.load(light + _ROOM + 5) - z, 0.0)))
    return share


@triton.jit
def _pixel(table, attributes, light, pose, pinhole, tiles, skies, masks, s0, s1, s2, s3, s4, s5, s6, px, py, active,
           MASK_SIZE: tl.constexpr, SKY_HEIGHT: tl.constexpr, SKY_WIDTH: tl.constexpr):  # fmt: skip
    """Colour 0…1, depth, surface and camera-axes normal of the ray through image position (px, py)."""
    focal = tl.load(pinhole)
    cx, cy = (px - tl.load(pinhole + 2)) / focal, (py - tl.load(pinhole + 3)) / tl.load(pinhole + 1)
    r0, r1, r2, ox = tl.load(pose), tl.load(pose + 1), tl.load(pose + 2), tl.load(pose + 3)
    r3, r4, r5, oy = tl.load(pose + 4), tl.load(pose + 5), tl.load(pose + 6), tl.load(pose + 7)
    r6, r7, r8, oz = tl.load(pose + 8), tl.load(pose + 9), tl.load(pose + 10), tl.load(pose + 11)
    dx, dy, dz = r0 * cx + r1 * cy + r2, r3 * cx + r4 * cy + r5, r6 * cx + r7 * cy + r8
    depth, hit = _nearest(table, attributes, s0, s1, s2, s3, s4, s5, s6, masks, ox, oy, oz, dx, dy, dz, True, MASK_SIZE)
    seen = (depth < _FAR) & active
    t = tl.where(seen, depth, 1.0)
    x, y, z = ox + t * dx, oy + t * dy, oz + t * dz

    row = table + hit * _TABLE
    m0 = tl.load(row, mask=seen, other=1.0)
    m1 = tl.load(row + 1, mask=seen, other=0.0)
    m2 = tl.load(row + 2, mask=seen, other=0.0)
    m3 = tl.load(row + 3, mask=seen, other=0.0)
    m4 = tl.load(row + 4, mask=seen, other=1.0)
    m5 = tl.load(row + 5, mask=seen, other=0.0)
    m6 = tl.load(row + 6, mask=seen, other=0.0)
    m7 = tl.load(row + 7, mask=seen, other=0.0)
    m8 = tl.load(row + 8, mask=seen, other=1.0)
    lx = m0 * x + m1 * y + m2 * z + tl.load(row + 9, mask=seen, other=0.0)
    ly = m3 * x + m4 * y + m5 * z + tl.load(row + 10, mask=seen, other=0.0)
    lz = m6 * x + m7 * y + m8 * z + tl.load(row + 11, mask=seen, other=0.0)
    ix, iy, iz = _length(m0, m1, m2), _length(m3, m4, m5), _length(m6, m7, m8)
    own = attributes + hit * _COLUMNS

    # texture coordinates and outward normal
    su = tl.load(own + _UV_SCALE, mask=seen, other=1.0)
    sv = tl.load(own + _UV_SCALE + 1, mask=seen, other=1.0)
    sw = tl.load(own + _UV_SCALE + 2, mask=seen, other=1.0)
    taper = 0.5 * tl.load(own + _TAPER, mask=seen, other=0.0)
    from_above = tl.load(own + _MAPPING, mask=seen, other=0.0) > 0
    puffy = tl.load(own + _PUFFY, mask=seen, other=0.0) > 0
    is_flat = hit < s2
    is_box = (hit >= s2) & (hit < s3)
    is_tube = (hit >= s3) & (hit < s4)
    ax, ay, az = tl.abs(lx), tl.abs(ly), tl.abs(lz)
    face = tl.where((ay >= ax) & (ay >= az), 1, tl.where(ax >= az, 0, 2))
    face = tl.where(is_flat, 2, face)
    face = tl.where(from_above, 1, face)
    u = tl.where(face == 0, lz * sw, lx * su)
    v = tl.where(face == 1, lz * sw, ly * sv)
    density_u = tl.where(face == 0, sw * iz, su * ix)
    density_v = tl.where(face == 1, sw * iz, sv * iy)
    one_x, one_y, one_z = tl.where(lx < 0, -1.0, 1.0), tl.where(ly < 0, -1.0, 1.0), tl.where(lz < 0, -1.0, 1.0)
    nx = tl.where(is_flat, 0.0, tl.where(is_box, tl.where(face == 0, one_x, 0.0), lx))
    ny = tl.where(is_flat, 0.0, tl.where(is_box, tl.where(face == 1, one_y, 0.0), ly))
    nz = tl.where(is_flat, 1.0, tl.where(is_box, tl.where(face == 2, one_z, 0.0), lz))
    radius = 1 - taper + taper * ly
    inner = radius * 0.9995
    cap = (ay > 0.9995) & (lx * lx + lz * lz < inner * inner)
    nx = tl.where(is_tube, tl.where(cap, 0.0, lx), nx)
    ny = tl.where(is_tube, tl.where(cap, one_y, -taper * radius), ny)
    nz = tl.where(is_tube, tl.where(cap, 0.0, lz), nz)
    turn = _arctan2(lx, lz) * 0.15915494309
    u = tl.where(is_tube, tl.where(cap, lx * sw, turn * su), u)
    v = tl.where(is_tube, tl.where(cap, lz * sw, ly * sv), v)
    density_u = tl.where(is_tube, tl.where(cap, sw, su * 0.16) * ix, density_u)
    density_v = tl.where(is_tube, tl.where(cap, sw * ix, sv * iy), density_v)
    u = u + tl.load(own + _UV_OFFSET, mask=seen, other=0.0)
    v = v + tl.load(own + _UV_OFFSET + 1, mask=seen, other=0.0)
    density = tl.sqrt(tl.abs(density_u * density_v))
    wx, wy, wz = m0 * nx + m3 * ny + m6 * nz, m1 * nx + m4 * ny + m7 * nz, m2 * nx + m5 * ny + m8 * nz
    scale = 1.0 / _length(wx, wy, wz)
    wx, wy, wz = wx * scale, wy * scale, wz * scale

    # facing and shading normals
    length = _length(dx, dy, dz)
    vx, vy, vz = dx / length, dy / length, dz / length
    facing = wx * vx + wy * vy + wz * vz
    flip = tl.where(facing > 0, -1.0, 1.0)
    gx, gy, gz = wx * flip, wy * flip, wz * flip
    nx, ny, nz = tl.where(puffy, wx, gx), tl.where(puffy, wy, gy), tl.where(puffy, wz, gz)
    a, b = 0.9 * lx / ix, 0.9 * ly / iy
    bx, by, bz = gx + a * m0 + b * m3, gy + a * m1 + b * m4, gz + a * m2 + b * m5
    scale = 1.0 / _length(bx, by, bz)
    bulge = puffy & is_flat
    nx, ny, nz = tl.where(bulge, bx * scale, nx), tl.where(bulge, by * scale, ny), tl.where(bulge, bz * scale, nz)

    # albedo
    footprint = t / focal * density * 512 * tl.rsqrt(tl.maximum(tl.abs(facing), 0.05))
    lod = tl.log2(tl.minimum(tl.maximum(footprint, 1.0), 512.0))
    level = tl.minimum(tl.maximum(tl.floor(lod), 0.0), 8.0)
    tile = tl.load(own + _TILE, mask=seen, other=0.0).to(tl.int32)
    mirror = tl.load(own + _MIRROR, mask=seen, other=0.0) > 0
    fr, fg, fb = _tile_level(tiles, tile, u, v, level.to(tl.int32), mirror, seen)
    kr, kg, kb = _tile_level(tiles, tile, u, v, level.to(tl.int32) + 1, mirror, seen)
    weight = lod - level
    red = _linear(fr + (kr - fr) * weight) * tl.load(own + _TINT, mask=seen, other=0.0)
    green = _linear(fg + (kg - fg) * weight) * tl.load(own + _TINT + 1, mask=seen, other=0.0)
    blue = _linear(fb + (kb - fb) * weight) * tl.load(own + _TINT + 2, mask=seen, other=0.0)
    always = tile >= 0
    fr, fg, fb = _tile_level(tiles, tile, 0.11 * u + 0.07 * v, 0.11 * v - 0.07 * u, (tile * 0) + 4, always, seen)
    mean = tl.load(tiles + (tile * _TEXELS + (_TEXELS - 1)), mask=seen, other=0)
    mean = tl.maximum(_red(mean) + _green(mean) + _blue(mean), 1.0)
    slow = 1.0 + tl.load(own + _MACRO, mask=seen, other=0.0) * ((fr + fg + fb) / mean - 1.0)
    slow = tl.minimum(tl.maximum(slow, 0.4), 1.7)
    red, green, blue = red * slow, green * slow, blue * slow

    # key light and its shadow
    is_point = tl.load(light + _KEY_IS_POINT) > 0
    kx, ky, kz = tl.load(light + _KEY), tl.load(light + _KEY + 1), tl.load(light + _KEY + 2)
    tx, ty, tz = tl.where(is_point, kx - x, kx), tl.where(is_point, ky - y, ky), tl.where(is_point, kz - z, kz)
    distance = tl.where(is_point, _length(tx, ty, tz), 1.0)
    kx, ky, kz = tx / distance, ty / distance, tz / distance
    strength = tl.where(is_point, 1.0 / tl.maximum(distance * distance, 0.2), 1.0)
    lift = 1e-3 + 5e-4 * t
    sx, sy, sz = x + gx * lift, y + gy * lift, z + gz * lift
    cosine = nx * kx + ny * ky + nz * kz
    cosine = tl.where(puffy, tl.maximum((cosine + 0.5) / 1.5, 0.0), tl.maximum(cosine, 0.0))
    needs = ((gx * kx + gy * ky + gz * kz) > 0) | puffy
    first, _ = _nearest(table, attributes, s0, s1, s2, s3, s4, s5, s6, masks, sx, sy, sz, tx, ty, tz, False, MASK_SIZE)
    blocked = first < tl.where(is_point, 1.0, _FAR)
    dark = blocked | (needs == 0)
    lit = tl.where(dark, 0.0, 1.0)
    lit = tl.where(puffy, 0.25 + 0.75 * lit, lit)

    # ambient light, highlight, haze
    share = _openness(table, light, s6, hit, x, y, z, gx, gy, gz)
    up = 0.5 - 0.5 * ny
    fill = nx * tl.load(light + _FILL) + ny * tl.load(light + _FILL + 1) + nz * tl.load(light + _FILL + 2)
    fill = tl.maximum(fill, 0.0) * tl.load(light + _FILL_STRENGTH)
    direct = cosine * lit * strength * (0.5 + 0.5 * share)
    glow = tl.load(own + _GLOW, mask=seen, other=0.0)
    hx, hy, hz = kx - vx, ky - vy, kz - vz
    shine = tl.maximum(nx * hx + ny * hy + nz * hz, 0.0) / tl.maximum(_length(hx, hy, hz), 1e-6)
    shine = shine * shine
    shine = shine * shine
    shine = shine * shine
    shine = shine * shine
    shine = shine * shine
    gloss = tl.load(own + _GLOSS, mask=seen, other=0.0) * shine * lit * strength
    exposure = tl.load(light + _EXPOSURE)
    clear = tl.exp(-tl.load(light + _HAZE) * t * length)
    qr, qg, qb = _sky(skies, light, dx, dy, dz, active & (seen == 0), SKY_HEIGHT, SKY_WIDTH)
    red = _lit(light, 0, red, direct, up, fill, share, glow, gloss, exposure, clear)
    green = _lit(light, 1, green, direct, up, fill, share, glow, gloss, exposure, clear)
    blue = _lit(light, 2, blue, direct, up, fill, share, glow, gloss, exposure, clear)
    red = _develop(tl.where(seen, red, qr), tl.load(light + _WHITE))
    green = _develop(tl.where(seen, green, qg), tl.load(light + _WHITE + 1))
    blue = _develop(tl.where(seen, blue, qb), tl.load(light + _WHITE + 2))
    surface = tl.where(seen, hit * 2 + tl.where(blocked & needs, 1, 0), -1)
    hx, hy, hz = r0 * gx + r3 * gy + r6 * gz, r1 * gx + r4 * gy + r7 * gz, r2 * gx + r5 * gy + r8 * gz
    return red, green, blue, depth, surface, tl.where(seen, hx, 0.0), tl.where(seen, hy, 0.0), tl.where(seen, hz, 0.0)


@triton.jit
def _lit(light, CHANNEL: tl.constexpr, albedo, direct, up, fill, share, glow, gloss, exposure, clear):
    """Linear light of one colour channel."""
    key = tl.load(light + _KEY_RGB + CHANNEL)
    above, below = tl.load(light + _UP_RGB + CHANNEL), tl.load(light + _DOWN_RGB + CHANNEL)
    ambient = below + (above - below) * up + above * fill
    colour = (albedo * (key * direct + ambient * share + glow) + key * gloss) * exposure
    return colour * clear + tl.load(light + _HAZE_RGB + CHANNEL) * (1 - clear)


# Sizes change from batch to batch: without this each new divisibility would compile the whole kernel again.
@triton.jit(do_not_specialize=["blocks", "longest", "pixels", "width"])
def _kernel(tables, primitives, starts, lights, worlds, poses, pinholes, tiles, skies, masks,
            rgb, depth, surface, normal, listed, first, blocks, longest, pixels, width,
            EDGES: tl.constexpr, NORMALS: tl.constexpr, BLOCK: tl.constexpr,
            MASK_SIZE: tl.constexpr, SKY_HEIGHT: tl.constexpr, SKY_WIDTH: tl.constexpr):  # fmt: skip
    program = tl.program_id(0)
    frame = (program // blocks).to(tl.int64)
    lane = (program % blocks) * BLOCK + tl.arange(0, BLOCK)
    if EDGES:
        begin = tl.load(first + frame)
        count = tl.load(first + frame + 1) - begin
    else:
        begin = 0
        count = pixels
    if (program % blocks) * BLOCK < count:
        active = lane < count
        pixel = lane
        if EDGES:
            pixel = tl.load(listed + begin + lane, mask=active, other=0)
        world = tl.load(worlds + frame).to(tl.int64)
        table = tables + frame * longest * _TABLE
        attributes = primitives + world * longest * _COLUMNS
        light = lights + world * _LIGHT
        start = starts + world * 7
        s0, s1, s2, s3 = tl.load(start), tl.load(start + 1), tl.load(start + 2), tl.load(start + 3)
        s4, s5, s6 = tl.load(start + 4), tl.load(start + 5), tl.load(start + 6)
        x = (pixel % width).to(tl.float32) + 0.5
        y = (pixel // width).to(tl.float32) + 0.5
        target = rgb + frame * 3 * pixels + pixel
        if EDGES:
            red = tl.load(target, mask=active, other=0.0)
            green = tl.load(target + pixels, mask=active, other=0.0)
            blue = tl.load(target + 2 * pixels, mask=active, other=0.0)
            for sample in range(0, 4):
                right = tl.where(sample == 0, _OX0, tl.where(sample == 1, _OX1, tl.where(sample == 2, _OX2, _OX3)))
                below = tl.where(sample == 0, _OY0, tl.where(sample == 1, _OY1, tl.where(sample == 2, _OY2, _OY3)))
                r, g, b, _, _, _, _, _ = _pixel(
                    table, attributes, light, poses + frame * 12, pinholes + frame * 4, tiles, skies, masks,
                    s0, s1, s2, s3, s4, s5, s6, x + right, y + below, active, MASK_SIZE, SKY_HEIGHT, SKY_WIDTH
                )  # fmt: skip
                red, green, blue = red + r, green + g, blue + b
            red, green, blue = red * 0.2, green * 0.2, blue * 0.2
        else:
            red, green, blue, z, owner, nx, ny, nz = _pixel(
                table, attributes, light, poses + frame * 12, pinholes + frame * 4, tiles, skies, masks,
                s0, s1, s2, s3, s4, s5, s6, x, y, active, MASK_SIZE, SKY_HEIGHT, SKY_WIDTH
            )  # fmt: skip
            tl.store(depth + frame * pixels + pixel, z, mask=active)
            tl.store(surface + frame * pixels + pixel, owner, mask=active)
            if NORMALS:
                tl.store(normal + frame * 3 * pixels + pixel, nx, mask=active)
                tl.store(normal + frame * 3 * pixels + pixels + pixel, ny, mask=active)
                tl.store(normal + frame * 3 * pixels + 2 * pixels + pixel, nz, mask=active)
        tl.store(target, red, mask=active)
        tl.store(target + pixels, green, mask=active)
        tl.store(target + 2 * pixels, blue, mask=active)
