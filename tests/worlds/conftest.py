import numpy as np
import pytest

from lyra.worlds import TextureSet, load_textures


@pytest.fixture(scope="session")
def textures(tmp_path_factory: pytest.TempPathFactory) -> TextureSet:
    """Textures by formula: a folder without a pack, and no variable that names one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LYRA_TEXTURE_PACK", raising=False)
        patch.chdir(tmp_path_factory.mktemp("no_pack"))
        return load_textures(None, "train", limit=8)


@pytest.fixture(scope="session")
def store(textures):
    return textures.to("cpu")


@pytest.fixture
def light() -> np.ndarray:
    """White light from everywhere, no haze, no exposure change."""
    from lyra.worlds import world

    row = np.zeros(world.LIGHT_COLUMNS, np.float32)
    row[world.KEY] = (0.0, -1.0, 0.0)
    row[world.UP_RGB] = row[world.DOWN_RGB] = 0.5
    row[world.EXPOSURE] = row[world.SKY_GAIN] = 1.0
    row[world.WHITE] = 1.0
    row[world.FILL] = (0.0, -1.0, 0.0)
    row[world.ROOM] = (-1e4, 1e4, -1e4, 1e4, -1e4, 1e4)
    return row
