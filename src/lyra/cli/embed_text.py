"""``lyra models embed-text``: words become the file that published networks read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from lyra.cli.checks import require_device, require_output_file


@dataclass(frozen=True)
class ModelsEmbedText:
    """Let a T5 encoder read a prompt, for `lyra generate --model`.

    lyra models embed-text "a courtyard with a fountain" --encoder checkpoints/t5-11b -o courtyard.safetensors
    """

    prompt: Annotated[Positional[str], arg(metavar="WORDS")]
    """What the scene shows; the part beyond 512 tokens is cut off."""
    encoder: Annotated[Path, arg(metavar="FOLDER")]
    """Folder of T5-11B as transformers reads it."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    """File to write (.safetensors)."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to compute; the encoder of T5-11B needs 9.5 GB there."""

    def run(self) -> int:
        """Check, load, embed, write."""
        require_device(self.device)
        require_output_file(self.out, (".safetensors",))

        from lyra.hub.text_embedding import write_text_embedding
        from lyra.models.t5_encoder import T5Encoder
        from lyra.pipeline import resolve_device

        states = T5Encoder.load(self.encoder, resolve_device(self.device)).embed(self.prompt)
        write_text_embedding(self.out, states, {"prompt": self.prompt, "encoder": self.encoder.name})
        print(f"embedding  {self.out}, {states.shape[0]} tokens of {states.shape[1]} numbers")
        return 0

    def interrupted(self) -> str:
        """The file appears only at the end."""
        return "nothing was written"
