"""Sizes and columns of the tables that the kernels pass to each other."""

TILE = 16
"""Pixels on a side of a tile; also the number of lanes of the inner loop."""

ROW_EWA = 12
"""u, v, a, b, c (exponent / 8 = a dx² + b dx dy + c dy²), opacity, red, green, blue, z, first row, end row."""
ROW_RAY = 17
"""As ``ROW_EWA``, then the denominator 1 + l dx + m dy + p dx² + q dx dy + r dy²: l, m, p, q, r."""

MOMENTS_EWA = 10
"""Sums of dL/dsigma times 1, dx, dy, dx², dx dy, dy², then dL/d(red, green, blue, z)."""
MOMENTS_RAY = 16
"""dL/dsigma; P times dx, dy, dx², dx dy, dy²; Q times 1, dx, dy, dx², dx dy, dy²; dL/d(red, green, blue, z)."""

CHANNELS = 5
"""Planes of the picture: red, green, blue, accumulated z, alpha."""
