"""Parts of `benchmarks/official.py`."""
