"""exp without libm, so that LLVM can vectorise the loops around it."""

import numpy as np

from lyra.raster.kernels.compiler import helper

T_MAX = np.float32(0.75)
"""Largest argument: exp(-6) lies below the smallest opacity that counts (1/255)."""

# Chebyshev interpolation of exp(-t) on 0…0.75, degree 6; relative error 5e-9.
_C0 = np.float32(0.9999999976614127)
_C1 = np.float32(-0.9999996941214986)
_C2 = np.float32(0.49999344142078406)
_C3 = np.float32(-0.16661366575005926)
_C4 = np.float32(0.04146113830245754)
_C5 = np.float32(-0.00791828768695488)
_C6 = np.float32(0.0009587715275318461)


@helper
def exp_minus_8(t):
    """exp(-8 t) in float32 for 0 <= t <= 0.75; larger t are held at 0.75."""
    t = t if t < T_MAX else T_MAX
    p = _C0 + t * (_C1 + t * (_C2 + t * (_C3 + t * (_C4 + t * (_C5 + t * _C6)))))
    p *= p
    p *= p
    p *= p
    return p
