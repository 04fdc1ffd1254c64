"""The networks, one folder each; they share code only through `lyra.nn`."""
