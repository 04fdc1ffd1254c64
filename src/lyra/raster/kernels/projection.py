"""From Gaussians to what a pixel needs: centre, quadratic form, opacity, rows and tiles; and the way back.

Formulas: EWA splatting (Zwicker et al. 2001) as in 3D Gaussian Splatting (Kerbl et al. 2023); ray response as in 3DGUT
(Wu et al. 2025), rewritten without divisions by scale. With camera-frame covariance S, centre m and viewing ray d,

    distance² = (d x m)^T S (d x m) / (d^T adj(S) d),

which is a quadratic form of the pixel offset over a quadratic polynomial of it. Arithmetic is float64, tables float32.
"""

import math

import numpy as np

from lyra.raster.kernels.compiler import helper, kernel
from lyra.raster.kernels.layout import MOMENTS_EWA, MOMENTS_RAY, TILE
from lyra.raster.options import ALPHA_CUT, JACOBIAN_MARGIN


@helper
def _centre(means, w2c, i):
    """Centre in the camera frame: x, y, z."""
    p0, p1, p2 = float(means[i, 0]), float(means[i, 1]), float(means[i, 2])
    x = w2c[0, 0] * p0 + w2c[0, 1] * p1 + w2c[0, 2] * p2 + w2c[0, 3]
    y = w2c[1, 0] * p0 + w2c[1, 1] * p1 + w2c[1, 2] * p2 + w2c[1, 3]
    z = w2c[2, 0] * p0 + w2c[2, 1] * p1 + w2c[2, 2] * p2 + w2c[2, 3]
    return x, y, z


@helper
def _axes(quats, w2c, i):
    """W R by rows (9 numbers), the unit quaternion and the norm it had."""
    qw, qx, qy, qz = float(quats[i, 0]), float(quats[i, 1]), float(quats[i, 2]), float(quats[i, 3])
    norm = math.sqrt(qw * qw + qx * qx + qy * qy + qz * qz)
    inverse = 1.0 / max(norm, 1e-30)
    qw, qx, qy, qz = qw * inverse, qx * inverse, qy * inverse, qz * inverse
    r00, r01, r02 = 1 - 2 * (qy * qy + qz * qz), 2 * (qx * qy - qw * qz), 2 * (qx * qz + qw * qy)
    r10, r11, r12 = 2 * (qx * qy + qw * qz), 1 - 2 * (qx * qx + qz * qz), 2 * (qy * qz - qw * qx)
    r20, r21, r22 = 2 * (qx * qz - qw * qy), 2 * (qy * qz + qw * qx), 1 - 2 * (qx * qx + qy * qy)
    b00 = w2c[0, 0] * r00 + w2c[0, 1] * r10 + w2c[0, 2] * r20
    b01 = w2c[0, 0] * r01 + w2c[0, 1] * r11 + w2c[0, 2] * r21
    b02 = w2c[0, 0] * r02 + w2c[0, 1] * r12 + w2c[0, 2] * r22
    b10 = w2c[1, 0] * r00 + w2c[1, 1] * r10 + w2c[1, 2] * r20
    b11 = w2c[1, 0] * r01 + w2c[1, 1] * r11 + w2c[1, 2] * r21
    b12 = w2c[1, 0] * r02 + w2c[1, 1] * r12 + w2c[1, 2] * r22
    b20 = w2c[2, 0] * r00 + w2c[2, 1] * r10 + w2c[2, 2] * r20
    b21 = w2c[2, 0] * r01 + w2c[2, 1] * r11 + w2c[2, 2] * r21
    b22 = w2c[2, 0] * r02 + w2c[2, 1] * r12 + w2c[2, 2] * r22
    return b00, b01, b02, b10, b11, b12, b20, b21, b22, qw, qx, qy, qz, norm


@helper
def _symmetric(b00, b01, b02, b10, b11, b12, b20, b21, b22, d0, d1, d2):
    """B diag(d) B^T: xx, xy, xz, yy, yz, zz."""
    xx = d0 * b00 * b00 + d1 * b01 * b01 + d2 * b02 * b02
    xy = d0 * b00 * b10 + d1 * b01 * b11 + d2 * b02 * b12
    xz = d0 * b00 * b20 + d1 * b01 * b21 + d2 * b02 * b22
    yy = d0 * b10 * b10 + d1 * b11 * b11 + d2 * b12 * b12
    yz = d0 * b10 * b20 + d1 * b11 * b21 + d2 * b12 * b22
    zz = d0 * b20 * b20 + d1 * b21 * b21 + d2 * b22 * b22
    return xx, xy, xz, yy, yz, zz


@helper
def _times(xx, xy, xz, yy, yz, zz, x, y, z):
    """Symmetric matrix times vector."""
    return xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z


@helper
def _clamped(value, centre, focal, size):
    """x/z held inside the widened image, where the Jacobian is evaluated."""
    margin = JACOBIAN_MARGIN * size / focal
    return min(max(value, -centre / focal - margin), (size - centre) / focal + margin)


@helper
def _flatten(xx, xy, xz, yy, yz, zz, ax, ay, cx, cy):
    """Covariance in the image: J S J^T with J = [ax (1, 0, -cx); ay (0, 1, -cy)]."""
    sxx = ax * ax * (xx - 2 * cx * xz + cx * cx * zz)
    sxy = ax * ay * (xy - cy * xz - cx * yz + cx * cy * zz)
    syy = ay * ay * (yy - 2 * cy * yz + cy * cy * zz)
    return sxx, sxy, syy


@helper
def _silhouette(variance, cross, zz, m, z, level):
    """Interval of m/z under the ellipsoid of squared radius ``level`` (dual conic); everything if it meets z = 0."""
    c33 = level * zz - z * z
    if c33 >= -1e-6 * z * z:
        return -1e30, 1e30
    c13 = level * cross - m * z
    c11 = level * variance - m * m
    root = math.sqrt(max(0.0, c13 * c13 - c33 * c11))
    return (c13 + root) / c33, (c13 - root) / c33


@kernel
def project(
    start, end, means, quats, scales, opacities, colors, w2c, intrinsics, size, near, far, eps2d, antialiased, ray,
    rows, tiles, depth,
):  # fmt: skip
    """Fill ``rows``, ``tiles`` (first and end tile in x, then y) and ``depth`` (0: not visible) of some Gaussians."""
    height, width = size
    fx, fy, centre_x, centre_y = intrinsics
    for i in range(start, end):
        depth[i] = np.float32(0.0)
        x, y, z = _centre(means, w2c, i)
        if not (z > near and z < far):
            continue
        opacity = float(opacities[i])
        if not opacity >= ALPHA_CUT:
            continue
        b00, b01, b02, b10, b11, b12, b20, b21, b22, qw, qx, qy, qz, norm = _axes(quats, w2c, i)
        if not norm > 1e-12:
            continue
        d0, d1, d2 = float(scales[i, 0]) ** 2, float(scales[i, 1]) ** 2, float(scales[i, 2]) ** 2
        xx, xy, xz, yy, yz, zz = _symmetric(b00, b01, b02, b10, b11, b12, b20, b21, b22, d0, d1, d2)
        ax, ay, cx, cy = fx / z, fy / z, x / z, y / z
        sxx, sxy, syy = _flatten(
            xx, xy, xz, yy, yz, zz, ax, ay, _clamped(cx, centre_x, fx, width), _clamped(cy, centre_y, fy, height)
        )
        det_before = sxx * syy - sxy * sxy
        sxx += eps2d
        syy += eps2d
        det = sxx * syy - sxy * sxy
        if not det > 0.0:
            continue
        compensated = opacity * math.sqrt(max(0.0, det_before / det))
        if antialiased:
            opacity = compensated
        if (antialiased or ray) and not compensated >= ALPHA_CUT:
            continue
        u = fx * cx + centre_x
        v = fy * cy + centre_y
        level = 2.0 * math.log(opacity / ALPHA_CUT) + 1e-5
        if ray:
            left, right = _silhouette(xx, xz, zz, x, z, level)
            top, bottom = _silhouette(yy, yz, zz, y, z, level)
            left, right = fx * left + centre_x, fx * right + centre_x
            top, bottom = fy * top + centre_y, fy * bottom + centre_y
        else:
            half_x, half_y = math.sqrt(level * sxx), math.sqrt(level * syy)
            left, right, top, bottom = u - half_x, u + half_x, v - half_y, v + half_y
        # First and end pixel whose centre lies inside; a thousandth of a pixel covers float32 rounding.
        x_first = math.ceil(min(max(left - 0.501, 0.0), float(width)))
        x_end = math.floor(min(max(right - 0.499, -1.0), float(width - 1))) + 1
        y_first = math.ceil(min(max(top - 0.501, 0.0), float(height)))
        y_end = math.floor(min(max(bottom - 0.499, -1.0), float(height - 1))) + 1
        if x_first >= x_end or y_first >= y_end:
            continue
        rows[i, 0] = u
        rows[i, 1] = v
        if ray:
            e0, e1, e2 = d1 * d2, d0 * d2, d0 * d1
            txx, txy, txz, tyy, tyz, tzz = _symmetric(b00, b01, b02, b10, b11, b12, b20, b21, b22, e0, e1, e2)
            hx = txx * cx + txy * cy + txz
            hy = txy * cx + tyy * cy + tyz
            hz = txz * cx + tyz * cy + tzz
            base = hx * cx + hy * cy + hz
            if not base > 0.0:
                continue
            share = 1.0 / base
            nxx = (z * z * yy - 2 * z * y * yz + y * y * zz) / (fx * fx) * share
            nyy = (z * z * xx - 2 * z * x * xz + x * x * zz) / (fy * fy) * share
            nxy = (-z * z * xy + z * x * yz + z * y * xz - x * y * zz) / (fx * fy) * share
            rows[i, 2] = nxx / 16
            rows[i, 3] = nxy / 8
            rows[i, 4] = nyy / 16
            rows[i, 12] = 2 * hx / fx * share
            rows[i, 13] = 2 * hy / fy * share
            rows[i, 14] = txx / (fx * fx) * share
            rows[i, 15] = 2 * txy / (fx * fy) * share
            rows[i, 16] = tyy / (fy * fy) * share
        else:
            rows[i, 2] = syy / det / 16
            rows[i, 3] = -sxy / det / 8
            rows[i, 4] = sxx / det / 16
        rows[i, 5] = opacity
        rows[i, 6] = colors[i, 0]
        rows[i, 7] = colors[i, 1]
        rows[i, 8] = colors[i, 2]
        rows[i, 9] = z
        rows[i, 10] = y_first
        rows[i, 11] = y_end
        depth[i] = z
        tiles[i, 0] = int(x_first) // TILE
        tiles[i, 1] = (int(x_end) + TILE - 1) // TILE
        tiles[i, 2] = int(y_first) // TILE
        tiles[i, 3] = (int(y_end) + TILE - 1) // TILE


@kernel
def project_backward(
    start, end, means, quats, scales, opacities, w2c, intrinsics, size, eps2d, antialiased, ray, move_z, rows, tiles,
    depth, first, moments, d_means, d_quats, d_scales, d_opacities, d_colors,
):  # fmt: skip
    """Add the gradient of one view to the five gradients, for a range of Gaussians."""
    height, width = size
    fx, fy, centre_x, centre_y = intrinsics
    count = MOMENTS_RAY if ray else MOMENTS_EWA
    total = np.empty(MOMENTS_RAY, np.float64)
    for i in range(start, end):
        if depth[i] == np.float32(0.0):
            continue
        total[:] = 0.0
        entries = (tiles[i, 1] - tiles[i, 0]) * (tiles[i, 3] - tiles[i, 2])
        for k in range(first[i], first[i] + entries):
            for j in range(count):
                total[j] += moments[k, j]
        d_colors[i, 0] += total[count - 4]
        d_colors[i, 1] += total[count - 3]
        d_colors[i, 2] += total[count - 2]
        g_z = total[count - 1] if move_z else 0.0

        x, y, z = _centre(means, w2c, i)
        b00, b01, b02, b10, b11, b12, b20, b21, b22, qw, qx, qy, qz, norm = _axes(quats, w2c, i)
        s0, s1, s2 = float(scales[i, 0]), float(scales[i, 1]), float(scales[i, 2])
        xx, xy, xz, yy, yz, zz = _symmetric(b00, b01, b02, b10, b11, b12, b20, b21, b22, s0 * s0, s1 * s1, s2 * s2)
        ax, ay, cx, cy = fx / z, fy / z, x / z, y / z
        opacity = float(opacities[i])
        g_effective = -total[0] / float(rows[i, 5])
        g_cx = 0.0
        g_cy = 0.0
        if ray:
            nxx, nxy, nyy = 16.0 * rows[i, 2], 8.0 * rows[i, 3], 16.0 * rows[i, 4]
            lx, ly, pxx, pxy, pyy = rows[i, 12], rows[i, 13], rows[i, 14], rows[i, 15], rows[i, 16]
            g_nxx, g_nxy, g_nyy = 0.5 * total[3], total[4], 0.5 * total[5]
            g_lx, g_ly, g_pxx, g_pxy, g_pyy = total[7], total[8], total[9], total[10], total[11]
            g_u = -(nxx * total[1] + nxy * total[2] + lx * total[6] + 2 * pxx * total[7] + pxy * total[8])
            g_v = -(nyy * total[2] + nxy * total[1] + ly * total[6] + 2 * pyy * total[8] + pxy * total[7])
            # Undo the division by the denominator at the centre.
            txx, txy, txz, tyy, tyz, tzz = _symmetric(
                b00, b01, b02, b10, b11, b12, b20, b21, b22, (s1 * s2) ** 2, (s0 * s2) ** 2, (s0 * s1) ** 2
            )
            hx = txx * cx + txy * cy + txz
            hy = txy * cx + tyy * cy + tyz
            hz = txz * cx + tyz * cy + tzz
            share = 1.0 / (hx * cx + hy * cy + hz)
            g_base = -share * (
                g_nxx * nxx
                + g_nxy * nxy
                + g_nyy * nyy
                + g_lx * lx
                + g_ly * ly
                + g_pxx * pxx
                + g_pxy * pxy
                + g_pyy * pyy
            )
            g_hx, g_hy = 2 * g_lx / fx * share, 2 * g_ly / fy * share
            g_txx = g_base * cx * cx + g_hx * cx + g_pxx / (fx * fx) * share
            g_tyy = g_base * cy * cy + g_hy * cy + g_pyy / (fy * fy) * share
            g_tzz = g_base
            g_txy = 2 * g_base * cx * cy + g_hx * cy + g_hy * cx + 2 * g_pxy / (fx * fy) * share
            g_txz = 2 * g_base * cx + g_hx
            g_tyz = 2 * g_base * cy + g_hy
            g_cx += 2 * g_base * hx + g_hx * txx + g_hy * txy
            g_cy += 2 * g_base * hy + g_hx * txy + g_hy * tyy
            mxx, mxy, myy = g_nxx / (fx * fx) * share, g_nxy / (fx * fy) * share, g_nyy / (fy * fy) * share
            g_xx = myy * z * z
            g_yy = mxx * z * z
            g_zz = mxx * y * y + myy * x * x - mxy * x * y
            g_xy = -mxy * z * z
            g_xz = -2 * myy * z * x + mxy * z * y
            g_yz = -2 * mxx * z * y + mxy * z * x
            g_x = myy * (2 * x * zz - 2 * z * xz) + mxy * (z * yz - y * zz)
            g_y = mxx * (2 * y * zz - 2 * z * yz) + mxy * (z * xz - x * zz)
            g_z += mxx * (2 * z * yy - 2 * y * yz) + myy * (2 * z * xx - 2 * x * xz)
            g_z += mxy * (-2 * z * xy + x * yz + y * xz)
            # adj(S) as polynomials of S.
            g_xx += g_tyy * zz + g_tzz * yy - g_tyz * yz
            g_yy += g_txx * zz + g_tzz * xx - g_txz * xz
            g_zz += g_txx * yy + g_tyy * xx - g_txy * xy
            g_xy += -2 * g_tzz * xy - g_txy * zz + g_txz * yz + g_tyz * xz
            g_xz += -2 * g_tyy * xz + g_txy * yz - g_txz * yy + g_tyz * xy
            g_yz += -2 * g_txx * yz + g_txy * xz + g_txz * xy - g_tyz * xx
            d_opacities[i] += g_effective
        else:
            clamp_x, clamp_y = _clamped(cx, centre_x, fx, width), _clamped(cy, centre_y, fy, height)
            sxx, sxy, syy = _flatten(xx, xy, xz, yy, yz, zz, ax, ay, clamp_x, clamp_y)
            exx, eyy = sxx + eps2d, syy + eps2d
            det = exx * eyy - sxy * sxy
            qa, qb, qc = eyy / det, -sxy / det, exx / det
            g_u = -(qa * total[1] + qb * total[2])
            g_v = -(qc * total[2] + qb * total[1])
            # d(V^-1) = -V^-1 dV V^-1, with the off-diagonal counted once.
            ga, gb, gc = 0.5 * total[3], 0.5 * total[4], 0.5 * total[5]
            k00, k01 = ga * qa + gb * qb, ga * qb + gb * qc
            k10, k11 = gb * qa + gc * qb, gb * qb + gc * qc
            g_sxx = -(qa * k00 + qb * k10)
            g_sxy = -2 * (qa * k01 + qb * k11)
            g_syy = -(qb * k01 + qc * k11)
            if antialiased:
                det_before = sxx * syy - sxy * sxy
                compensation = math.sqrt(max(0.0, det_before / det))
                d_opacities[i] += g_effective * compensation
                ratio = 0.5 * g_effective * opacity / (compensation * det)
                share = det_before / det
                g_sxx += ratio * (syy - share * eyy)
                g_syy += ratio * (sxx - share * exx)
                g_sxy += -2 * ratio * sxy * (1 - share)
            else:
                d_opacities[i] += g_effective
            hxx, hxy, hyy = g_sxx * ax * ax, g_sxy * ax * ay, g_syy * ay * ay
            g_xx, g_xy, g_yy = hxx, hxy, hyy
            g_xz = -2 * clamp_x * hxx - clamp_y * hxy
            g_yz = -2 * clamp_y * hyy - clamp_x * hxy
            g_zz = clamp_x * clamp_x * hxx + clamp_x * clamp_y * hxy + clamp_y * clamp_y * hyy
            if clamp_x == cx:
                g_cx += hxx * (2 * cx * zz - 2 * xz) + hxy * (clamp_y * zz - yz)
            if clamp_y == cy:
                g_cy += hyy * (2 * cy * zz - 2 * yz) + hxy * (clamp_x * zz - xz)
            g_x = 0.0
            g_y = 0.0
            g_z -= 2 / z * (g_sxx * sxx + g_sxy * sxy + g_syy * syy)
        g_cx += g_u * fx
        g_cy += g_v * fy
        g_x += g_cx / z
        g_y += g_cy / z
        g_z -= (g_cx * cx + g_cy * cy) / z
        d_means[i, 0] += w2c[0, 0] * g_x + w2c[1, 0] * g_y + w2c[2, 0] * g_z
        d_means[i, 1] += w2c[0, 1] * g_x + w2c[1, 1] * g_y + w2c[2, 1] * g_z
        d_means[i, 2] += w2c[0, 2] * g_x + w2c[1, 2] * g_y + w2c[2, 2] * g_z

        # S = B D B^T: dB_k = 2 G B_k d_k, d(scale_k) = 2 s_k B_k^T G B_k.
        g_xx, g_yy, g_zz = 2 * g_xx, 2 * g_yy, 2 * g_zz
        c00, c10, c20 = _times(g_xx, g_xy, g_xz, g_yy, g_yz, g_zz, b00, b10, b20)
        c01, c11, c21 = _times(g_xx, g_xy, g_xz, g_yy, g_yz, g_zz, b01, b11, b21)
        c02, c12, c22 = _times(g_xx, g_xy, g_xz, g_yy, g_yz, g_zz, b02, b12, b22)
        d_scales[i, 0] += s0 * (c00 * b00 + c10 * b10 + c20 * b20)
        d_scales[i, 1] += s1 * (c01 * b01 + c11 * b11 + c21 * b21)
        d_scales[i, 2] += s2 * (c02 * b02 + c12 * b12 + c22 * b22)
        d0, d1, d2 = s0 * s0, s1 * s1, s2 * s2
        # dR = W^T dB
        r00 = d0 * (w2c[0, 0] * c00 + w2c[1, 0] * c10 + w2c[2, 0] * c20)
        r10 = d0 * (w2c[0, 1] * c00 + w2c[1, 1] * c10 + w2c[2, 1] * c20)
        r20 = d0 * (w2c[0, 2] * c00 + w2c[1, 2] * c10 + w2c[2, 2] * c20)
        r01 = d1 * (w2c[0, 0] * c01 + w2c[1, 0] * c11 + w2c[2, 0] * c21)
        r11 = d1 * (w2c[0, 1] * c01 + w2c[1, 1] * c11 + w2c[2, 1] * c21)
        r21 = d1 * (w2c[0, 2] * c01 + w2c[1, 2] * c11 + w2c[2, 2] * c21)
        r02 = d2 * (w2c[0, 0] * c02 + w2c[1, 0] * c12 + w2c[2, 0] * c22)
        r12 = d2 * (w2c[0, 1] * c02 + w2c[1, 1] * c12 + w2c[2, 1] * c22)
        r22 = d2 * (w2c[0, 2] * c02 + w2c[1, 2] * c12 + w2c[2, 2] * c22)
        gw = 2 * (qx * (r21 - r12) + qy * (r02 - r20) + qz * (r10 - r01))
        gx = 2 * (qy * (r01 + r10) + qz * (r02 + r20) + qw * (r21 - r12) - 2 * qx * (r11 + r22))
        gy = 2 * (qx * (r01 + r10) + qz * (r12 + r21) + qw * (r02 - r20) - 2 * qy * (r00 + r22))
        gz = 2 * (qx * (r02 + r20) + qy * (r12 + r21) + qw * (r10 - r01) - 2 * qz * (r00 + r11))
        along = gw * qw + gx * qx + gy * qy + gz * qz
        d_quats[i, 0] += (gw - along * qw) / norm
        d_quats[i, 1] += (gx - along * qx) / norm
        d_quats[i, 2] += (gy - along * qy) / norm
        d_quats[i, 3] += (gz - along * qz) / norm
