"""Studies on few textures by formula."""

from collections.abc import Iterator

import pytest

from lyra.studies import ablations, optimisation
from lyra.worlds import Split, TextureSet, load_textures


@pytest.fixture(scope="package", autouse=True)
def few_textures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever pack lies around, both studies see eight textures of each split."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LYRA_TEXTURE_PACK", raising=False)
        patch.chdir(tmp_path_factory.mktemp("no_pack"))
        sets: dict[Split, TextureSet] = {split: load_textures(None, split, limit=8) for split in ("train", "test")}
        for module in (ablations, optimisation):
            patch.setattr(module, "load_textures", lambda path, split: sets[split])
        yield
