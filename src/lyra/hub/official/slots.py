"""Which published file goes where: names of files, networks, tensors, licences."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lyra.hub.registry import model_class
from lyra.models.decoder import official as decoder_names
from lyra.models.decoder import official_dynamic, official_static
from lyra.models.teacher.config import official as official_teacher
from lyra.models.teacher.official import bare_name as bare_teacher_name
from lyra.models.teacher.official import file_name as teacher_file_name
from lyra.models.teacher.official import official_names as teacher_names
from lyra.models.tokenizer import CosmosTokenizerConfig
from lyra.models.tokenizer.official import bare_name as bare_tokenizer_name
from lyra.models.tokenizer.official import official_names as tokenizer_names

NVIDIA_LICENCE = "NVIDIA Open Model License"
STATISTICS = ("latent_mean", "latent_std")
"""Tensors of the tokenizer that come from a file of their own and keep their precision."""
STATISTICS_FILE = "mean_std.pt"

WRAPPERS = ("module", "model", "state_dict")
"""Keys under which published files may hold their tensors, beside other things."""


@dataclass(frozen=True)
class Slot:
    """One network of a model folder, and the published files that fill it.

    Attributes:
        role: folder in the model folder.
        name: in the registry.
        config: of the network.
        repository: where the files are published.
        folder: of the repository's files in a checkpoints folder.
        files: alternatives, the preferred one first; all files of one are needed.
        wrapper: key under which the tensors lie in the file that is written on the way back.
        licence: of the weights.
        bare: name of a tensor in a file to its published name, None for what is ignored.
        in_file: published name to the name in a file.
        statistics: whether the mean and deviation of latents come with it.
    """

    role: str
    name: str
    config: Any
    repository: str
    folder: str
    files: tuple[tuple[str, ...], ...]
    wrapper: str
    licence: str = NVIDIA_LICENCE
    bare: Callable[[str], str | None] = str
    in_file: Callable[[str], str] = str
    statistics: bool = False

    @property
    def exported(self) -> str:
        """Name of the file that is written on the way back: an archive of tensors alone, TorchScript is code too."""
        return next(names[0] for names in self.files if names[0].endswith(".pt"))

    def network(self) -> nn.Module:
        """The network with shapes but without memory."""
        network = model_class(self.name)  # imported before, so that constants of libraries stay real
        with torch.device("meta"):
            module: nn.Module = network(self.config)
        return module

    def names(self, own: Mapping[str, Any]) -> dict[str, str]:
        """Published name to the name in the network's state, which has the names ``own``."""
        task = self.name.partition("/")[0]
        if task == "teacher":
            return teacher_names(self.config.layers)
        if task == "tokenizer":
            return tokenizer_names()
        return {decoder_names.official_name(name): name for name in own}


def _decoder(kind: str, config: Any) -> Slot:
    return Slot(
        f"decoder-{kind}", f"decoder/lyra-{kind}", config, "nvidia/Lyra", "Lyra", ((f"lyra_{kind}.pt",),), "module"
    )


SLOTS: tuple[Slot, ...] = (
    Slot(
        "tokenizer",
        "tokenizer/cosmos-cv8x8x8-720p",
        CosmosTokenizerConfig(statistics_dtype="bfloat16"),
        "nvidia/Cosmos-Tokenize1-CV8x8x8-720p",
        "Cosmos-Tokenize1-CV8x8x8-720p",
        (("encoder.jit", "decoder.jit"), ("autoencoder.jit",), ("model.pt",)),
        "model",
        bare=bare_tokenizer_name,
        statistics=True,
    ),
    Slot(
        "teacher",
        "teacher/gen3c-cosmos-7b",
        official_teacher(),
        "nvidia/Gen3C-Cosmos-7B",
        "Gen3C-Cosmos-7B",
        (("model.pt",),),
        "model",
        bare=bare_teacher_name,
        in_file=teacher_file_name,
    ),
    _decoder("static", official_static()),
    _decoder("dynamic", official_dynamic()),
)
