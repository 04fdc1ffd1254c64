"""Any text-to-image pipeline of diffusers that the user has as a folder."""

from lyra.models.image_model.model import ImageModel, read_licence, require_image_model

__all__ = ["ImageModel", "read_licence", "require_image_model"]
