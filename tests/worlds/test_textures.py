import json

import numpy as np
import pytest
import torch
from PIL import Image

from lyra.structures import InputError
from lyra.worlds import TextureSet, load_textures
from lyra.worlds.store import LEVEL_OFFSETS, TILE_TEXELS, build_store
from lyra.worlds.textures import SPLITS, assign_splits


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pack")
    rng = np.random.default_rng(0)
    records = []
    for original in range(24):
        for cut in range(2):
            name = f"{original}_{cut}.png"
            colour = tuple(int(v) for v in rng.integers(20, 230, 3))
            Image.new("RGB", (512, 512), colour).save(folder / name, compress_level=0)
            category = "photo" if original < 14 else "wood"
            records.append(
                {"id": name, "file": name, "category": category, "package": "p", "original": f"{original}.jpg"}
            )
    skies = []
    for name in ("blender_sunrise", "pmndrs_sunrise", "pmndrs_park", "pmndrs_sky", "blender_city", "a_dusk", "b_dusk"):
        Image.new("RGB", (512, 256), (90, 120, 200)).save(folder / f"{name}.png")
        np.savez(folder / f"{name}.npz", rgb=np.full((128, 256, 3), 0.5, np.float16))
        skies.append({"id": name, "background": f"{name}.png", "radiance": f"{name}.npz"})
    (folder / "index.json").write_text(json.dumps({"tiles": records, "skies": skies}))
    return folder


@pytest.fixture(scope="module")
def split_sets(pack):
    return {split: load_textures(pack, split) for split in SPLITS}


def test_no_original_and_no_place_is_in_two_splits(split_sets):
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not set(split_sets[first].originals) & set(split_sets[second].originals)
        assert not set(split_sets[first].sky_names) & set(split_sets[second].sky_names)
    homes = [split for split in SPLITS if any("sunrise" in name for name in split_sets[split].sky_names)]
    assert len(homes) == 1
    assert sum("sunrise" in name for name in split_sets[homes[0]].sky_names) == 2


def test_every_split_has_every_category_and_train_is_the_largest(split_sets):
    sizes = {split: len(split_sets[split]) for split in SPLITS}
    assert sum(sizes.values()) == 48
    assert sizes["train"] > 0.8 * 48
    for split in SPLITS:
        assert set(split_sets[split].categories) == {"photo", "wood"}


def test_all_cuts_of_a_photograph_stay_together(split_sets):
    for textures in split_sets.values():
        names = list(textures.originals)
        assert all(names.count(name) == 2 for name in names)


def test_split_shares_of_many_originals():
    names = [f"file {number}" for number in range(1000)]
    assigned = assign_splits({"photo": names})
    assert sum(split == "val" for split in assigned.values()) == 70
    assert sum(split == "test" for split in assigned.values()) == 70
    assert assigned == assign_splits({"photo": names[::-1]})


def test_limit_spreads_over_categories(pack):
    textures = load_textures(pack, "train", limit=2)
    assert set(textures.categories) == {"photo", "wood"}


def test_fallback_without_a_pack(textures: TextureSet):
    assert textures.is_procedural
    assert textures.tiles.shape == (8, 512, 512, 3)
    assert textures.tiles.std(axis=(1, 2, 3)).min() > 3
    assert len(textures.catalogue.sky_lights) == len(textures.skies)


def test_mip_levels_are_means(textures: TextureSet):
    store = build_store(textures.tiles[:2], textures.skies[:1], textures.masks.masks, torch.device("cpu"))
    tile = store.tiles[TILE_TEXELS : 2 * TILE_TEXELS]
    top = int(tile[-1])
    mean = textures.tiles[1].reshape(-1, 3).mean(0)
    assert np.allclose([top & 255, top >> 8 & 255, top >> 16 & 255], mean, atol=2)
    second = tile[LEVEL_OFFSETS[1] : LEVEL_OFFSETS[2]].view(256, 256)[10, 20]
    block = textures.tiles[1][20:22, 40:42].reshape(-1, 3).mean(0)
    assert np.allclose([second & 255, second >> 8 & 255, second >> 16 & 255], block, atol=0.51)


def test_bad_folder_and_bad_split_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"index\.json"):
        load_textures(tmp_path, "train")
    with pytest.raises(InputError, match="split"):
        load_textures(None, "holdout")  # type: ignore[arg-type]
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(InputError, match="JSON"):
        load_textures(tmp_path, "train")
