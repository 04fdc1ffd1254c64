"""``lyra models``: what ships inside."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from lyra.cli.sizes import mebibytes


@dataclass(frozen=True)
class ModelsList:
    """All embedded networks, one a line: name, parameters, size on disk, licence."""

    def run(self) -> int:
        """Print the table."""
        from lyra.hub import list_models

        for card in list_models():
            size = mebibytes(card.mib)
            print(f"{card.name:<20} {card.parameters / 1e6:7.2f} M parameters {size:>9}  {card.licence}")
        return 0

    def interrupted(self) -> str:
        """Only reads."""
        return "nothing was written"


@dataclass(frozen=True)
class ModelsShow:
    """Everything known about one network: configuration, recipe, seed, scores, licence, credits.

    lyra models show decoder/nano
    """

    name: Annotated[Positional[str], arg(metavar="NAME")]
    """Such as decoder/nano; `lyra models list` prints all."""

    def run(self) -> int:
        """Print the card."""
        import json

        from lyra.hub import model_card

        print(json.dumps(model_card(self.name).summary(), indent=1))
        return 0

    def interrupted(self) -> str:
        """Only reads."""
        return "nothing was written"
