"""Files are made in a hidden folder beside their target, looked at there, and moved into place only then."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lyra.io.files import reason
from lyra.structures import InputError


@contextmanager
def staged(targets: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield a path for each target, of the same name; what lies there at the end takes the place of the targets.

    Args:
        targets: files or folders of one parent, which is made if need be; a folder may not exist with content.

    On any exception, KeyboardInterrupt included, nothing is left behind, parents made here included.

    Raises:
        InputError: the place cannot be written; also in place of an `OSError` of the block.
    """
    parent = targets[0].parent
    missing = [each for each in (parent, *parent.parents) if not each.exists()]
    finished = False
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".lyra-", dir=parent) as folder:
            aside = Path(folder)
            paths = [aside / target.name for target in targets]
            try:
                yield paths
            except InputError as error:
                # a writer's complaint should name the place that the user knows
                raise InputError(str(error).replace(str(aside), str(parent))) from error
            for path, target in zip(paths, targets, strict=True):
                os.replace(path, target)
            finished = True
    except OSError as error:
        raise InputError(f"cannot write {targets[0]} ({reason(error)}); choose another place with -o") from error
    finally:
        if not finished:
            for each in missing:  # from the innermost
                try:
                    each.rmdir()
                except OSError:  # not made, or somebody else's files are in it by now
                    break
