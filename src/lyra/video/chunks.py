"""A long clip as overlapping pieces that the teacher can imagine."""

from dataclasses import dataclass

OVERLAP = 4
"""Frames that a chunk shares with the one before: they carry cameras, depth and scale over."""


@dataclass(frozen=True)
class Chunk:
    """A piece of a clip.

    Attributes:
        number: from 0.
        first: frame of the clip that it begins with.
        count: frames that are there; what is missing to a whole clip is filled with the last of them.
        shared: of these so many belong to the chunk before.
    """

    number: int
    first: int
    count: int
    shared: int

    @property
    def own(self) -> range:
        """Frames of the clip that no chunk before has."""
        return range(self.first + self.shared, self.first + self.count)


def plan_chunks(frames: int, length: int = 17, overlap: int = OVERLAP) -> tuple[Chunk, ...]:
    """Chunks of ``length`` frames that cover ``frames``, each sharing at least ``overlap`` with the one before.

    The last chunk begins earlier rather than being filled up, so that it is a whole one, too.

    Raises:
        ValueError: no frames, or an overlap that leaves nothing new.
    """
    if frames < 1 or not 0 < overlap < length:
        raise ValueError(f"plan_chunks: {frames} frames, {length} a chunk, {overlap} shared")
    chunks = [Chunk(0, 0, min(frames, length), 0)]
    while (end := chunks[-1].first + chunks[-1].count) < frames:
        first = min(end - overlap, frames - length)
        chunks.append(Chunk(len(chunks), first, length, end - first))
    return tuple(chunks)
