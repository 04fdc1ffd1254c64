"""File formats of Gaussians, one module each; `lyra.io.gaussian_files` has the table of all of them."""
