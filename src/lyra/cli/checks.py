"""What is checked before any heavy work begins: the device, and the places to write to."""

import re
import tempfile
from pathlib import Path
from typing import NoReturn


def require_device(name: str) -> None:
    """Refuse a device that does not exist; ``auto`` and ``cpu`` always do.

    Raises:
        InputError: unknown name, or no such GPU on this computer.
    """
    if name in ("auto", "cpu"):
        return
    if not re.fullmatch(r"cuda(:\d+)?", name):
        _refuse(f"unknown device '{name}'; use auto, cpu, cuda or cuda:N")
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        found = f"{count} CUDA device(s)" if count else "no CUDA device"
        _refuse(f"device '{name}' is not present, this computer has {found}; use --device cpu")


def require_output_folder(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that could not be written at the end.

    Raises:
        InputError: ``folder`` is a file, exists with content and may not be replaced, is not one of ours, or lies
            where nothing can be written.
    """
    if folder.is_dir():
        if any(folder.iterdir()):
            if not (folder / "run.json").is_file():
                _refuse(f"output {folder} is a folder with other files in it; choose a new folder with -o")
            if not overwrite:
                _refuse(f"output {folder} already holds a scene; add --overwrite, or choose a new folder with -o")
    elif folder.exists() or folder.is_symlink():
        _refuse(f"output {folder} is a file; give a folder with -o")
    _require_writable(folder)


def require_output_file(file: Path, suffixes: tuple[str, ...]) -> None:
    """Refuse a file that could not be written at the end.

    Raises:
        InputError: ``file`` is a folder or a device, has another ending than ``suffixes``, or lies where nothing can be
            written.
    """
    if file.is_dir():
        _refuse(f"output {file} is a folder; give a file name ending in {' or '.join(suffixes)}")
    if file.exists() and not file.is_file():
        _refuse(f"output {file} is a device or pipe; give the name of a file")
    if file.suffix.lower() not in suffixes:
        _refuse(f"output {file} has no known ending; give a name that ends in {' or '.join(suffixes)}")
    _require_writable(file)


def require_store_folder(folder: Path) -> None:
    """Refuse a store that nothing could be written into.

    Raises:
        InputError: ``folder`` lies where nothing can be written.
    """
    _require_writable(folder / "manifest.json", "--store")


def _require_writable(target: Path, option: str = "-o") -> None:
    """Make and remove a folder where ``target`` will appear, in the nearest parent that exists."""
    parent = target.absolute().parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        _refuse(f"output {target} cannot be made: {parent} is a file; choose another place with {option}")
    try:
        with tempfile.TemporaryDirectory(prefix=".lyra-", dir=parent):
            pass
    except OSError as fault:
        _refuse(f"output {target} cannot be made in {parent} ({fault.strerror}); choose another place with {option}")


def _refuse(reason: str) -> NoReturn:
    from lyra.structures import InputError

    raise InputError(reason)
