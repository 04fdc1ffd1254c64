"""Networks that know nothing yet."""

from collections.abc import Callable, Iterator

import pytest
import torch

from lyra.evaluation import probe_scores, text
from lyra.evaluation.probe import CACHE_VARIABLE, ProbeRecipe
from lyra.models.decoder import Anchor, DecoderConfig, GaussianDecoder
from lyra.models.depth import DepthConfig, DepthNet
from lyra.models.teacher import Teacher, TeacherConfig
from lyra.models.tokenizer import NanoTokenizer, NanoTokenizerConfig
from lyra.pipeline import Pipeline
from lyra.worlds import TextureSet, load_textures


def _untrained() -> Pipeline:
    """A tokenizer that starts as a linear code, a teacher that returns the warp, a decoder that lifts the photo."""
    torch.manual_seed(0)
    tokenizer = NanoTokenizer(NanoTokenizerConfig(widths=(16, 32), blocks=(1, 1)))
    size = {"width": 16, "context_width": 24, "context_blocks": 1, "context_heads": 2}
    depth_net = DepthNet(DepthConfig(**size, fine_width=8, refine_width=8))
    channels = tokenizer.channels
    teacher = Teacher(TeacherConfig(latent_channels=channels, heads=2, head_dim=16, layers=1, text_dim=8, steps=1))
    teacher.start_as_identity()
    decoder = GaussianDecoder(DecoderConfig(
        latent_channels=channels, width=32, depth=1, heads=2, attention_every=1, zero_init_residual=True,
        rays="pooled", ray_dtype="float32", time_layers=False, guides=True, head="anchored", prune_ratio=0.0,
        anchors=(Anchor(0, 1, "first"), Anchor(16, 2, "all")), feature_channels=8, hidden_channels=8,
    ))  # fmt: skip
    return Pipeline(depth_net, tokenizer, teacher, decoder)


@pytest.fixture(scope="session")
def untrained() -> Callable[[], Pipeline]:
    """Makes a pipeline of small untrained networks."""
    return _untrained


@pytest.fixture(scope="session")
def tiny_recipe() -> ProbeRecipe:
    """Of a probe that knows next to nothing."""
    return ProbeRecipe(
        "tiny", 64, 112, worlds=16, checked=8, steps=30, batch=8, widths=(8, 16), blocks=(0, 1), average=0.5
    )


@pytest.fixture(scope="module")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TextureSet]]:
    """Eight textures by formula per split, packed once; an empty cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LYRA_TEXTURE_PACK", raising=False)
        patch.chdir(tmp_path_factory.mktemp("no_pack"))
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        sets = {split: load_textures(None, split, limit=8) for split in ("train", "val")}
        stores = {split: one.to("cpu") for split, one in sets.items()}
        patch.setattr(TextureSet, "to", lambda self, device: stores[self.split])
        for user in (text, probe_scores):
            patch.setattr(user, "load_textures", lambda path, split: sets[split])
        yield sets
