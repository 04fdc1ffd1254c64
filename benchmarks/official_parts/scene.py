"""The tokenizer, the 3D decoder and the renders of a whole scene."""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from lyra.geometry import PointCache, trajectory_c2w
from lyra.hub.memory_plan import GIB, Choice, phases_of
from lyra.models.decoder import DecoderInputs
from lyra.nn import fast_attention
from lyra.raster import RenderOptions, rasterize
from official_parts.bench import Bench, Report, peaks, random_network, released, seconds

KEPT = 2_044_415
"""Gaussians of a scene of the published size."""


def decoder_inputs(bench: Bench) -> DecoderInputs:
    """Noise for latents and rays, cameras at the origin."""
    config, latent, views = bench.slots["decoder-static"].config, bench.latent, bench.views

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, device=bench.device, dtype=bench.dtype)

    K = torch.tensor([[bench.width, 0, bench.width / 2], [0, bench.width, bench.height / 2], [0, 0, 1.0]])
    return DecoderInputs(
        noise(1, views, config.latent_channels, *latent),
        torch.eye(4, device=bench.device).expand(1, views, bench.frames, 4, 4),
        K.to(bench.device).expand(1, views, 3, 3),
        bench.height,
        bench.width,
        noise(1, views, config.ray_channels, *latent),
    )


@torch.no_grad()
def decoder(report: Report, bench: Bench) -> None:
    """The 3D decoder on all views, with all tokens at once and in pieces; then block by block."""
    for together, fast in ((None, False), (None, True), (1 << 15, True), (1 << 14, True)):

        def whole(together: int | None = together, fast: bool = fast) -> dict[str, Any]:
            inputs = decoder_inputs(bench)
            network = random_network(bench.slots["decoder-static"], bench)
            network.trunk.together = together
            with fast_attention(bench.device) if fast else nullcontext():
                network(inputs)
                released(bench)
                best = min(seconds(lambda: network(inputs), bench) for _ in range(2))
            planned = phases_of(bench.workload(), Choice(tokens_together=together, clip_together=1))
            device = next(phase.device for phase in planned if phase.name == "decode")
            return {"tokens_together": together, "seconds": best, "planned": round(device / GIB, 2)} | peaks(bench)

        name = "all tokens" if together is None else f"{together} tokens at once"
        report.attempt("decoder", f"{name}, attention by cuDNN" if fast else name, whole)
    report.attempt("decoder", "its parts", lambda: decoder_parts(bench))


def decoder_parts(bench: Bench) -> dict[str, Any]:
    """Seconds of one block of each kind, of the embeddings and of the head."""
    inputs, network = decoder_inputs(bench), random_network(bench.slots["decoder-static"], bench)
    tokens = network.embed(inputs)
    views, _, frames, rows, columns = inputs.latents.shape[1:]
    grid = tokens.unflatten(1, (views, frames, rows // 2, columns // 2))
    found = {}
    for name, call in (
        ("embeddings", lambda: network.embed(inputs)),
        ("mamba_block", lambda: network.trunk.blocks[0](tokens)),
        ("attention_block", lambda: network.trunk.blocks[7](tokens)),
        ("head_and_activations", lambda: network.head(grid, inputs)),
    ):
        with fast_attention(bench.device):
            call()
            found[name] = min(seconds(call, bench) for _ in range(2))
    gaussians = network.head(grid, inputs)
    found["pruning"] = min(seconds(lambda: gaussians.prune(0.2), bench) for _ in range(2))
    return found


@torch.no_grad()
def tokenizer(report: Report, bench: Bench) -> None:
    """One clip through the tokenizer, at once and in pieces of latent frames."""
    for together in (None, 8, 4, 1):

        def coded(together: int | None = together) -> dict[str, Any]:
            network = random_network(bench.slots["tokenizer"], bench)
            network.together = together
            clip = torch.rand(1, 3, bench.frames, bench.height, bench.width)
            z = torch.randn(1, bench.slots["tokenizer"].config.latent_channels, *bench.latent)
            planned = {
                phase.name: round(phase.device / GIB, 2)
                for phase in phases_of(bench.workload(), Choice(clip_together=together))
                if phase.name in ("warp", "frames")
            }
            released(bench)
            line: dict[str, Any] = {"frames_together": together, "planned": planned}
            line["encode_seconds"] = seconds(lambda: network.encode(clip), bench)
            line |= {f"encode_{name}": value for name, value in peaks(bench).items()}
            released(bench)
            line["decode_seconds"] = seconds(lambda: [None for _ in network.decode_pieces(z)], bench)
            return line | {f"decode_{name}": value for name, value in peaks(bench).items()}

        name = "whole clips" if together is None else f"{together} latent frames at once"
        report.attempt("tokenizer", name, coded)


def warp(report: Report, bench: Bench, frames: int = 8) -> None:
    """The 3D cache of a picture with depth edges, seen along a path: the part of the road without a network."""

    def seen() -> dict[str, Any]:
        generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(1, 1, 9, 16, generator=generator).round() + 1  # two depths, with edges between them
        size = (bench.height, bench.width)
        depth = torch.nn.functional.interpolate(coarse, size)[0, 0].to(bench.device)
        depth = depth + 0.1 * torch.linspace(0, 1, bench.width, device=bench.device)
        rgb = torch.rand(3, *size, generator=generator).to(bench.device)
        K = torch.tensor([[bench.width, 0, bench.width / 2], [0, bench.width, bench.height / 2], [0, 0, 1.0]])
        K = K.to(bench.device)
        path = trajectory_c2w("left", frames, 0.25).to(bench.device)
        cache = PointCache.start(rgb, depth, torch.eye(4, device=bench.device), K)
        cache.seen(path[:2], K.expand(2, 3, 3))  # chooses kernels
        released(bench)
        each = seconds(lambda: cache.seen(path, K.expand(frames, 3, 3)), bench) / frames
        return {"frame_seconds": each, "clip_seconds": each * bench.frames} | peaks(bench)

    report.attempt("warp", f"{frames} frames of one source", seen)


def surfaces(bench: Bench, count: int) -> tuple[list[Tensor], Tensor, Tensor]:
    """Gaussians as a scene has them, on three wavy layers, 2 pixels wide; cameras of a small circle."""
    generator = torch.Generator(device=bench.device).manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=bench.device)

    focal = float(bench.width)
    across, layer = 1.2 * (draw(count, 2) - 0.5), (3 * draw(count)).floor()
    z = (1 + layer) * (1 + 0.1 * torch.sin(9 * across[:, 0] + layer) * torch.cos(7 * across[:, 1]))
    size = torch.tensor([bench.width, bench.height], device=bench.device) / focal
    means = torch.cat([across * size * z[:, None], z[:, None]], dim=1)
    scales = 2 * torch.exp(0.5 * (draw(count, 3) - 0.5)) * z[:, None] / focal
    scene = [means, draw(count, 4) - 0.5, scales, 0.2 + 0.8 * draw(count), draw(count, 3)]
    angles = torch.linspace(0, 6.28, 16, device=bench.device)
    w2c = torch.eye(4, device=bench.device).repeat(len(angles), 1, 1)
    w2c[:, 0, 3], w2c[:, 1, 3] = 0.1 * angles.cos(), 0.1 * angles.sin()
    K = torch.tensor([[focal, 0, bench.width / 2], [0, focal, bench.height / 2], [0, 0, 1.0]], device=bench.device)
    return scene, w2c, K.expand(len(angles), 3, 3)


@torch.no_grad()
def render(report: Report, bench: Bench, count: int = KEPT) -> None:
    """Pictures of a whole scene, camera by camera and 8 cameras in one call, for both responses."""
    for response, depth in (("ray", True), ("ray", False), ("ewa", True)):

        def drawn(response: str = response, depth: bool = depth) -> dict[str, Any]:
            scene, w2c, K = surfaces(bench, count)
            options = RenderOptions(response=response, near=0.1, depth=depth)  # type: ignore[arg-type]

            def pictures(cameras: slice) -> None:
                rasterize(*scene, w2c[cameras], K[cameras], bench.height, bench.width, options)

            def one_by_one() -> None:
                for number in range(len(w2c)):
                    pictures(slice(number, number + 1))

            pictures(slice(0, 1))
            released(bench)
            single = min(seconds(one_by_one, bench) for _ in range(3)) / len(w2c)
            joint = min(seconds(lambda: pictures(slice(0, 8)), bench) for _ in range(3)) / 8
            rates = {"pictures_per_second": 1 / single, "pictures_per_second_of_8_at_once": 1 / joint}
            return {"gaussians": count, **rates} | peaks(bench)

        report.attempt("render", response if depth else f"{response}, without depth", drawn)
