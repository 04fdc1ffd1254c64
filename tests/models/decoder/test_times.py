"""Times as numbers beside the tokens: nothing at first, then what each frame and each target is told."""

from dataclasses import replace

import pytest
import torch

from lyra.models.decoder import Anchor, DecoderConfig, DecoderInputs, GaussianDecoder, clip_times, nano, nano_dynamic
from lyra.models.decoder.times import time_numbers
from lyra.structures import InputError

STILL = DecoderConfig(
    latent_channels=8, width=32, depth=2, heads=2, attention_every=1, rays="pooled", ray_dtype="float32",
    zero_init_rays=False, time_layers=False, guides=True, head="anchored", prune_ratio=0.0,
    anchors=(Anchor(0, 1, "first"), Anchor(8, 2), Anchor(16, 2)),
)  # fmt: skip
TIMED = replace(STILL, pooled_time=True)


def inputs(**changes: object) -> DecoderInputs:
    generator = torch.Generator().manual_seed(0)
    frame_times, target_time = clip_times(TIMED, 1, 17, 0.5, torch.device("cpu"))
    given = {
        "latents": torch.randn(1, 2, 8, 3, 4, 4, generator=generator),
        "c2w": torch.eye(4).expand(1, 2, 17, 4, 4),
        "K": torch.tensor([[30.0, 0, 16], [0, 30, 16], [0, 0, 1]]).expand(1, 2, 3, 3),
        "height": 32, "width": 32,
        "rgb": torch.rand(1, 2, 3, 3, 32, 32, generator=generator),
        "depth": 1 + torch.rand(1, 2, 3, 32, 32, generator=generator),
        "visible": torch.zeros(1, 2, 3, 32, 32),
        "frame_times": frame_times, "target_time": target_time,
    }  # fmt: skip
    return DecoderInputs(**{**given, **changes})


def woken(decoder: GaussianDecoder) -> GaussianDecoder:
    """Every layer that starts at zero gets something to say."""
    with torch.no_grad():
        for parameter in decoder.parameters():
            if float(parameter.abs().max()) == 0:
                parameter.normal_(std=0.2, generator=torch.Generator().manual_seed(3))
    return decoder.eval()


def test_published_numbers_of_a_time():
    assert torch.allclose(time_numbers(torch.tensor(0.5)), torch.tensor([0.5, 0.8776, 0.4794]), atol=1e-4)


def test_clips_run_from_0_to_1_and_what_stands_still_is_one_moment():
    times, target = clip_times(TIMED, 2, 17, 0.25, torch.device("cpu"))
    assert times.shape == (2, 17) and times[0, [0, 8, 16]].tolist() == [0, 0.5, 1] and target.tolist() == [0.25, 0.25]
    times, target = clip_times(TIMED, 1, 17, None, torch.device("cpu"))
    assert not times.any() and not target.any()
    assert clip_times(STILL, 1, 17, 0.5, torch.device("cpu")) == (None, None)
    assert nano_dynamic() == replace(nano(), pooled_time=True) and not nano().pooled_time
    with pytest.raises(ValueError, match="latents or pooled"):
        replace(STILL, time_layers=True, use_time=True, pooled_time=True)


def test_new_layers_change_nothing():
    torch.manual_seed(0)
    still = GaussianDecoder(STILL).eval()
    timed = GaussianDecoder(TIMED).eval()
    timed.load_state_dict({**timed.state_dict(), **still.state_dict()})
    a, b = still(inputs()), timed(inputs())
    assert torch.equal(a.means, b.means) and torch.equal(a.opacities, b.opacities)
    with pytest.raises(InputError, match="frame_times"):
        timed(inputs(frame_times=None))


def test_one_pass_of_the_trunk_serves_every_target():
    torch.manual_seed(0)
    decoder = woken(GaussianDecoder(TIMED))
    given = inputs()
    tokens = decoder.mix(given)
    assert torch.equal(tokens, decoder.mix(inputs(target_time=torch.tensor([0.9])))), "the trunk knows no target"
    early, late = (decoder.read(tokens, inputs(target_time=torch.tensor([time]))) for time in (0.1, 0.9))
    assert not torch.allclose(early.opacities, late.opacities, atol=1e-3)
    assert torch.equal(decoder(inputs(target_time=torch.tensor([0.9]))).means, late.means)
    moved = decoder.mix(inputs(frame_times=given.frame_times * 0.5))
    assert not torch.allclose(moved[:, :, 1:], tokens[:, :, 1:], atol=1e-3)


def test_anchors_may_stand_elsewhere():
    torch.manual_seed(0)
    decoder = woken(GaussianDecoder(STILL))
    everything = inputs()
    later = tuple(anchor for anchor in STILL.anchors if anchor.frame > 0)
    parts = {name: getattr(everything, name)[:, :, 1:] for name in ("rgb", "depth", "visible")}
    some = decoder.read(decoder.mix(everything), inputs(anchors=later, **parts))
    whole = decoder(everything)
    assert torch.equal(some.means, whole.means[:, 32 * 32 :]) and torch.equal(some.colors, whole.colors[:, 32 * 32 :])
    single = inputs(
        latents=everything.latents[:, :1, :, :1], c2w=torch.eye(4).expand(1, 1, 1, 4, 4), K=everything.K[:, :1],
        anchors=STILL.anchors[:1], **{name: getattr(everything, name)[:, :1, :1] for name in parts},
        frame_times=None, target_time=None,
    )  # fmt: skip
    assert decoder(single).means.shape == (1, 32 * 32, 3), "a clip of one frame carries the first anchor"
    with pytest.raises(InputError, match="anchored on frame 16 but the clip has 1 frames"):
        decoder(replace(single, anchors=None, rgb=None))
