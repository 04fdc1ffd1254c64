"""The pictures that worlds are made of: tiles, skies and silhouettes, in splits that share no original."""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from PIL import Image

from lyra.structures import InputError
from lyra.worlds.masks import MaskSet, make_masks
from lyra.worlds.procedural_skies import SKY_HEIGHT, SKY_WIDTH, make_skies
from lyra.worlds.procedural_tiles import make_tiles
from lyra.worlds.sky_light import SkyLight, measure_sky
from lyra.worlds.store import TextureStore, build_store

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

# Maps that show one place must stay in one split.
_SAME_PLACE = {
    "blender_sunrise": "sunrise",
    "pmndrs_sunrise": "sunrise",
    "blender_studio": "studio",
    "pmndrs_studio": "studio",
    "blender_sunset": "sunset",
    "pmndrs_sunset": "sunset",
}
_INDOOR = ("studio", "interior", "apartment", "bridge", "esplanade", "hall", "lab", "lobby", "warehouse", "workshop")
_ENCLOSED = (*_INDOOR, "courtyard", "forest")  # too near for a backdrop that never moves
_TIME_WORDS = {
    "night": "at night",
    "sunrise": "at sunrise",
    "sunset": "at sunset",
    "dawn": "at dawn",
    "forest": "in the forest light",
    "city": "under a cloudy sky",
    "venice": "in the evening",
    "park": "on a clear day",
    "sky": "on a sunny day",
}
_PROCEDURAL_SKIES = {"train": 14, "val": 4, "test": 4}


@dataclass(frozen=True)
class Catalogue:
    """What the layouts need to know about the textures, without the pixels; small and picklable.

    Attributes:
        categories: N words, one per tile (wood, terrain, photo, ...).
        mean_rgb: [N, 3] float32 linear mean colour.
        seamless: [N] bool, whether the tile may be repeated without mirroring.
        sky_lights: S descriptions of the skies.
        outdoor_skies, indoor_skies: indices into the skies; the enclosed ones are no backdrops.
        masks: the silhouettes.
    """

    categories: tuple[str, ...]
    mean_rgb: np.ndarray
    seamless: np.ndarray
    sky_lights: tuple[SkyLight, ...]
    outdoor_skies: tuple[int, ...]
    indoor_skies: tuple[int, ...]
    mask_kinds: dict[str, tuple[int, ...]]
    by_category: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class TextureSet:
    """Tiles, skies and silhouettes of one split, on the CPU.

    Attributes:
        tiles: [N, 512, 512, 3] uint8 sRGB.
        skies: [S, 512, 1024, 3] uint8 sRGB, equirectangular, first row zenith.
        sky_radiance: [S, 128, 256, 3] float32 linear, sun included; scales differ from map to map.
        masks: silhouettes.
        catalogue: the same without pixels.
        originals: N names of the source file of each tile; no name occurs in two splits.
        sky_names: S names.
        split: train, val or test.
        is_procedural: whether the tiles were made by formula.
    """

    tiles: np.ndarray
    skies: np.ndarray
    sky_radiance: np.ndarray
    masks: MaskSet
    catalogue: Catalogue
    originals: tuple[str, ...]
    sky_names: tuple[str, ...]
    split: Split
    is_procedural: bool

    @property
    def categories(self) -> tuple[str, ...]:
        return self.catalogue.categories

    def __len__(self) -> int:
        return len(self.tiles)

    def to(self, device: torch.device | str) -> TextureStore:
        """Pack tiles with their mip pyramids, skies and silhouettes into tensors on ``device``."""
        return build_store(self.tiles, self.skies, self.masks.masks, torch.device(device))


def find_texture_pack() -> Path | None:
    """The folder of the texture pack: ``LYRA_TEXTURE_PACK``, then the usual places, else ``None``."""
    named = os.environ.get("LYRA_TEXTURE_PACK")
    if named:
        return Path(named)
    for place in ("shared/data/texture-pack", "../shared/data/texture-pack", ".pack"):
        if (Path(place) / "index.json").is_file():
            return Path(place)
    return None


def load_textures(path: Path | None, split: Split, limit: int | None = None) -> TextureSet:
    """Read one split of the texture pack, or make textures by formula where there is none.

    Args:
        path: folder with ``index.json``; ``None`` searches with ``find_texture_pack``.
        split: train (about 86 % of the originals), val or test (about 7 % each).
        limit: keep at most this many tiles, spread over the categories (and as many skies).

    Raises:
        InputError: ``split`` is unknown, or ``path`` has no readable ``index.json``.
    """
    if split not in SPLITS:
        raise InputError(f"texture split {split!r} is unknown; use one of {', '.join(SPLITS)}")
    folder = path if path is not None else find_texture_pack()
    if folder is None:
        return _procedural(split, limit)
    return _from_pack(Path(folder), split, limit)


def assign_splits(groups: dict[str, list[str]]) -> dict[str, Split]:
    """Split of every original: within each category by rank of a stable hash, 7 % val, 7 % test, rest train.

    Args:
        groups: category → names of originals. A name that occurs in several categories is assigned once.

    Returns:
        original → split.
    """
    result: dict[str, Split] = {}
    for category in sorted(groups):
        names = sorted({name for name in groups[category] if name not in result}, key=_hash)
        held = max(1, round(0.07 * len(names))) if len(names) >= 4 else 0
        for rank, name in enumerate(names):
            result[name] = "val" if rank < held else "test" if rank < 2 * held else "train"
    return result


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _read_index(folder: Path) -> dict[str, Any]:
    file = folder / "index.json"
    if not file.is_file():
        raise InputError(f"{folder} is not a texture pack: it has no index.json; give the folder that holds it")
    try:
        return cast(dict[str, Any], json.loads(file.read_text()))
    except ValueError as error:
        raise InputError(f"{file} is not valid JSON ({error}); copy the texture pack again") from None


def _from_pack(folder: Path, split: Split, limit: int | None) -> TextureSet:
    index = _read_index(folder)
    groups: dict[str, list[str]] = {}
    for record in index["tiles"]:
        groups.setdefault(_split_group(record), []).append(_original(record))
    assigned = assign_splits(groups)
    records = [record for record in index["tiles"] if assigned[_original(record)] == split]
    records = _spread(records, limit)
    tiles = np.stack([_read_rgb(folder / record["file"]) for record in records])

    sky_groups: dict[str, list[str]] = {}
    for record in index["skies"]:
        sky_groups.setdefault("indoor" if _is_indoor(record["id"]) else "outdoor", []).append(_place(record["id"]))
    sky_split = assign_splits(sky_groups)
    sky_records = [record for record in index["skies"] if sky_split[_place(record["id"])] == split][:limit]
    skies = [_read_rgb(folder / record["background"], (SKY_WIDTH, SKY_HEIGHT)) for record in sky_records]
    radiance = [np.load(folder / record["radiance"])["rgb"].astype(np.float32) for record in sky_records]
    names = [record["id"] for record in sky_records]
    times = [next((word for key, word in _TIME_WORDS.items() if key in name), "") for name in names]
    indoor = [_is_indoor(name) for name in names]
    return _assemble(
        tiles,
        tuple(_category(record) for record in records),
        tuple(_original(record) for record in records),
        (skies, radiance, names, times, indoor),
        split,
        limit,
        is_procedural=False,
    )


def _procedural(split: Split, limit: int | None) -> TextureSet:
    tiles, categories = make_tiles(SPLITS.index(split), limit=limit)
    originals = tuple(f"procedural/{split}/{number}" for number in range(len(tiles)))
    return _assemble(tiles, categories, originals, ([], [], [], [], []), split, limit, is_procedural=True)


def _assemble(
    tiles: np.ndarray,
    categories: tuple[str, ...],
    originals: tuple[str, ...],
    pack_skies: tuple[list[np.ndarray], list[np.ndarray], list[str], list[str], list[bool]],
    split: Split,
    limit: int | None,
    is_procedural: bool,
) -> TextureSet:
    skies, radiance, names, times, indoor = pack_skies
    made = make_skies(SPLITS.index(split), min(_PROCEDURAL_SKIES[split], limit or 99))
    for number, sky in enumerate(made):
        skies.append(sky.picture)
        radiance.append(sky.radiance)
        names.append(f"procedural/{split}/{number}")
        times.append(sky.time_of_day)
        indoor.append(False)
    lights = tuple(
        measure_sky(light, picture, words) for light, picture, words in zip(radiance, skies, times, strict=True)
    )
    masks = make_masks(SPLITS.index(split))
    catalogue = Catalogue(
        categories=categories,
        mean_rgb=_mean_linear(tiles),
        seamless=_is_seamless(tiles),
        sky_lights=lights,
        outdoor_skies=tuple(n for n, inside in enumerate(indoor) if not inside and "city" not in names[n]),
        indoor_skies=tuple(number for number, inside in enumerate(indoor) if inside),
        mask_kinds={kind: tuple(masks.of(kind)) for kind in dict.fromkeys(masks.kinds)},
        by_category={
            name: tuple(number for number, word in enumerate(categories) if word == name)
            for name in dict.fromkeys(categories)
        },
    )
    return TextureSet(
        tiles=tiles,
        skies=np.stack(skies),
        sky_radiance=np.stack(radiance),
        masks=masks,
        catalogue=catalogue,
        originals=originals,
        sky_names=tuple(names),
        split=split,
        is_procedural=is_procedural,
    )


_REFINED = (  # (words in the file name, category): finer than the pack's own categories
    (("marble",), "marble"),
    (("plaster", "stucco", "clay", "concrete", "racetrack_wall", "beige_bricks"), "plaster"),
    (("brick", "cinder", "rockwall", "castelwall", "pyramidwall", "hortonstone"), "brick"),
    (("snow", "ice"), "snow"),
    (("cliff", "mountain", "cave", "canyon", "rockwater"), "cliff"),
    (("grass", "steppe", "flora"), "grass"),
    (("forest",), "forest"),
    (("sand", "desert", "beach", "sahara"), "sand"),
    (("road", "tarmac", "asphalt", "track"), "road"),
    (("paving", "citytile", "city_tile"), "paving"),
    (("bark", "trunk"), "bark"),
    (("door",), "door"),
    (("ivy", "cypressleaves", "plants.jpg"), "foliage"),
)
_KEEP_AS_IS = ("photo", "facade", "fabric", "water", "roof", "tile", "paper", "other", "metal")
_SINGLE_PICTURES = ("entranceguardian", "lanternsupport", "tree_cut", "crate1", "palmtree3", "fire.jpg")


_VIEWS = (  # photographs of places that can stand far away: in windows, beyond a street
    "canyondechelly", "georgewashington", "lincolnmemorial", "castillo", "meidum", "greatpyramid", "bentpyramid",
    "greatstupa", "charminar", "rangghar", "mysore", "goldentemple", "chambord", "pontdugard", "palaisdespapes",
    "carcassonne", "arles", "chenonceau", "montstmichel", "rocamadour", "berlincathedral", "schwerin", "aulapalatina",
    "brandenburg", "neuschwanstein", "machupicchu", "tajmahal", "colosseum", "greatwall", "christtheredeemer",
    "reimscathedral", "bridge_by", "ajanta",
)  # fmt: skip
_ODD = (  # neither a material nor a picture: layouts leave them out
    "roadtoground", "grass_forestfloor_big", "road_grass_wood", "lantern.jpg", "cake_", "swimming-pool-tiles",
    "tropic_citytile_plants", "track_01", "road_rome", "canyon_boards", "city_asphalt_1", "racetrack_asphalt",
)  # fmt: skip


def _category(record: dict[str, Any]) -> str:
    """What layouts may use a tile for."""
    name = str(record["original"]).replace("\\", "/").split("/")[-1].lower()
    if any(word in name for word in _ODD):
        return "odd"
    if record["category"] == "photo" and any(word in name for word in _VIEWS):
        return "view"
    return _split_group(record)


def _split_group(record: dict[str, Any]) -> str:
    """The category within which originals are split; it never changes, or pictures would change sides."""
    category = str(record["category"])
    name = str(record["original"]).replace("\\", "/").split("/")[-1].lower()
    if any(word in name for word in _SINGLE_PICTURES):
        return "single"
    if "door" in name:
        return "door"
    if category in _KEEP_AS_IS:
        return category
    for words, refined in _REFINED:
        if any(word in name for word in words):
            return refined
    if category == "terrain":
        material = str(record.get("material", "ground"))
        return {"vegetation": "grass", "stone": "rock", "wall": "cliff", "wood": "wood", "tile": "paving"}.get(
            material, "ground"
        )
    if category == "stone" and any(word in name for word in ("rock", "pebbles", "stones.jpg", "ice03")):
        return "rock"
    return "foliage" if category == "vegetation" else category


def _original(record: dict[str, Any]) -> str:
    return f"{record['package']}/{record['original']}"


def _place(name: str) -> str:
    return _SAME_PLACE.get(name, name)


def _is_indoor(name: str) -> bool:
    return any(name.endswith(word) for word in _ENCLOSED)


def _spread(records: list[dict[str, Any]], limit: int | None) -> list[dict[str, Any]]:
    """``limit`` records, taken round robin from the categories in the order of a stable hash."""
    if limit is None or limit >= len(records):
        return records
    queues: dict[str, list[dict[str, Any]]] = {}
    for record in sorted(records, key=lambda item: _hash(str(item["file"]))):
        queues.setdefault(_category(record), []).append(record)
    ranked = sorted(
        ((rank, name, record) for name, queue in queues.items() for rank, record in enumerate(queue)),
        key=lambda item: (item[0], item[1]),
    )
    return [record for _, _, record in ranked[:limit]]


def _read_rgb(file: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    try:
        with Image.open(file) as picture:
            rgb = picture.convert("RGB")
            if size is not None and rgb.size != size:
                rgb = rgb.resize(size, Image.Resampling.BICUBIC)
            return np.asarray(rgb)
    except OSError as error:
        raise InputError(f"texture {file} cannot be read ({error}); copy the texture pack again") from None


def _mean_linear(tiles: np.ndarray) -> np.ndarray:
    small = tiles[:, ::8, ::8].astype(np.float32) / 255.0
    return (small**2.2).mean((1, 2)).astype(np.float32)


def _is_seamless(tiles: np.ndarray) -> np.ndarray:
    """Whether opposite borders of each tile differ no more than neighbouring rows and columns do."""

    def step(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.abs(first.astype(np.int16) - second.astype(np.int16)).mean((1, 2))

    rows = step(tiles[:, 0], tiles[:, -1]) / (_inner(step(tiles[:, i], tiles[:, i + 1]) for i in (97, 230, 371)) + 1.0)
    columns = step(tiles[:, :, 0], tiles[:, :, -1]) / (
        _inner(step(tiles[:, :, i], tiles[:, :, i + 1]) for i in (97, 230, 371)) + 1.0
    )
    return np.maximum(rows, columns) < 1.9


def _inner(steps: Iterable[np.ndarray]) -> np.ndarray:
    return np.mean(list(steps), axis=0)
