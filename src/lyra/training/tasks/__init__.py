"""One file per network that can be trained."""
