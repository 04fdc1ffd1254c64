"""The text encoder of the published teacher, from a folder that the user has."""

from lyra.models.t5_encoder.model import T5Encoder, require_t5_encoder

__all__ = ["T5Encoder", "require_t5_encoder"]
