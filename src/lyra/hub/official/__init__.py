"""From the published checkpoint files to a model folder of ours, and back."""

from lyra.hub.official.export import export_official
from lyra.hub.official.importing import import_official
from lyra.hub.official.slots import SLOTS, Slot

__all__ = ["SLOTS", "Slot", "export_official", "import_official"]
