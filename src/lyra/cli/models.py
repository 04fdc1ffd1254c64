"""``lyra models``: what ships inside."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from lyra.cli.sizes import mebibytes


@dataclass(frozen=True)
class ModelsList:
    """All embedded networks, one a line: name, parameters, size on disk, licence, scores.

    lyra models list
    """

    def run(self) -> int:
        """Print the table."""
        from lyra.hub import list_models

        for card in list_models():
            scores = ", ".join(f"{name} {value:.4g}" for name, value in card.scores.items())
            size = mebibytes(card.size / 2**20)
            print(f"{card.name:<20} {card.parameters / 1e6:7.2f} M {size:>9}  {card.licence:<14} {scores}".rstrip())
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
        from lyra.hub import list_models
        from lyra.structures import InputError

        cards = {card.name: card for card in list_models()}
        if self.name not in cards:
            raise InputError(f"no network is called '{self.name}'; there are {', '.join(cards) or 'none here'}")
        print(cards[self.name].to_json(), end="")
        return 0

    def interrupted(self) -> str:
        """Only reads."""
        return "nothing was written"
