"""Machine-code kernels of the CPU backend, compiled on first use by Numba."""
