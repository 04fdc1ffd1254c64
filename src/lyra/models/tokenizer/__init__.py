"""Video tokenizers: clips of pixels to small latent clips and back, behind one interface."""

from lyra.models.tokenizer.config import CosmosTokenizerConfig, FrameDecoderConfig, NanoTokenizerConfig
from lyra.models.tokenizer.cosmos import CosmosTokenizer
from lyra.models.tokenizer.equalise import equalise
from lyra.models.tokenizer.frame_decoder import FrameDecoder
from lyra.models.tokenizer.interface import SIGMA_DATA, Tokenizer
from lyra.models.tokenizer.nano import NanoTokenizer

__all__ = [
    "SIGMA_DATA",
    "CosmosTokenizer",
    "CosmosTokenizerConfig",
    "FrameDecoder",
    "FrameDecoderConfig",
    "NanoTokenizer",
    "NanoTokenizerConfig",
    "Tokenizer",
    "equalise",
]
