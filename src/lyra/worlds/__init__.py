"""Procedural textured scenes with exact cameras and depth, and the ray tracer that films them."""

from lyra.worlds.film import Clip, SourcePictures, film, film_source, film_standing, source_intrinsics
from lyra.worlds.layout import ABSTRACT, KINDS, sample_world
from lyra.worlds.matching import picture_worlds
from lyra.worlds.preview import preview
from lyra.worlds.store import TextureStore
from lyra.worlds.textures import Catalogue, Split, TextureSet, find_texture_pack, load_textures
from lyra.worlds.trace import WorldFrames, trace
from lyra.worlds.world import World, WorldBatch, collate

__all__ = [
    "ABSTRACT",
    "KINDS",
    "Catalogue",
    "Clip",
    "SourcePictures",
    "Split",
    "TextureSet",
    "TextureStore",
    "World",
    "WorldBatch",
    "WorldFrames",
    "collate",
    "film",
    "film_source",
    "film_standing",
    "find_texture_pack",
    "load_textures",
    "picture_worlds",
    "preview",
    "sample_world",
    "source_intrinsics",
    "trace",
]
