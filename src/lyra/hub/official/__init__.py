"""From the published checkpoint files to a model folder of ours, and back."""

from lyra.hub.official.export import export_official
from lyra.hub.official.importing import import_official
from lyra.hub.official.random_model import toy_slots, write_random_model
from lyra.hub.official.slots import SLOTS, Slot

__all__ = ["SLOTS", "Slot", "export_official", "import_official", "toy_slots", "write_random_model"]
