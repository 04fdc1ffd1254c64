"""Numbers with units that people read at a glance."""


def mebibytes(mib: float) -> str:
    """Such as ``512 MiB`` or ``2.3 GiB``."""
    return f"{mib:.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def seconds(value: float) -> str:
    """Such as ``9.4 s`` or ``2 min 05 s``."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s"
