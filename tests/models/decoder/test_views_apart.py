"""Views decoded apart: each as if there were no other, and then put together."""

from dataclasses import replace

import pytest
import torch

from lyra.models.decoder import DecoderInputs, GaussianBatch, clip_times

FIELDS = ("means", "quats", "scales", "opacities", "colors")


def one_view(inputs: DecoderInputs, scene: int, view: int) -> DecoderInputs:
    """A scene that has this view and no other, written out by hand."""
    maps = ("latents", "c2w", "K", "plucker", "rgb", "depth", "visible")
    whole = ("time_latents", "frame_times", "target_time")
    given = {name: getattr(inputs, name) for name in maps + whole}
    cut = {name: v if v is None else v[scene : scene + 1, view : view + 1] for name, v in given.items() if name in maps}
    cut |= {name: v if v is None else v[scene : scene + 1] for name, v in given.items() if name in whole}
    return replace(inputs, **cut)


@pytest.mark.parametrize("kind", ["anchored", "timed", "hybrid", "official", "official times"])
def test_every_view_as_the_only_one_and_then_all_together(build, kind):
    config = {
        "anchored": lambda: build.nano_config(hide_visible=True),
        "timed": lambda: build.nano_config(pooled_time=True),
        "hybrid": lambda: build.nano_config(attention_every=2, ssm_state=8, ssm_head=8, ssm_chunk=16),
        "official": lambda: build.official_config(),
        "official times": lambda: build.official_config(use_time=True),
    }[kind]()
    inputs = build.inputs(config, batch=2, views=3)
    frame_times, target_time = clip_times(config, 2, inputs.c2w.shape[2], 0.5, torch.device("cpu"))
    inputs = replace(inputs, frame_times=frame_times, target_time=target_time)
    fused = build.decoder(config, random_weights=True).eval()
    apart = build.decoder(replace(config, views_apart=True), random_weights=True).eval()
    with torch.no_grad():
        got, together = apart(inputs), fused(inputs)
        for scene in range(2):
            alone = [fused(one_view(inputs, scene, view)) for view in range(3)]
            wanted = GaussianBatch.concatenate(alone)
            for name in FIELDS:
                torch.testing.assert_close(getattr(got, name)[scene], getattr(wanted, name)[0], rtol=1e-3, atol=1e-4)
    if config.anchors:  # the source picture comes once with each view, and once in all where views are fused
        assert got.means.shape[1] == together.means.shape[1] + 2 * 32 * 48
    else:
        assert got.means.shape == together.means.shape
        assert not torch.allclose(got.means, together.means, atol=1e-3)


def test_with_the_published_head_the_trunk_apart_is_all_of_it(build):
    """Its Gaussians come from a view's own tokens and cameras; ours share the source picture's."""
    for config, same in ((build.official_config(), True), (build.nano_config(), False)):
        inputs = build.inputs(config, views=3)
        trunk, whole = (
            build.decoder(replace(config, **change), random_weights=True).eval()(inputs)
            for change in ({"fuse_views": False}, {"views_apart": True})
        )
        assert (trunk.means.shape == whole.means.shape) is same
        if same:
            torch.testing.assert_close(trunk.means, whole.means, rtol=1e-4, atol=1e-5)


def test_pruning_looks_at_all_views_together(build):
    config = build.nano_config(views_apart=True)
    inputs = build.inputs(config, views=2)
    whole = build.decoder(config, random_weights=True).eval()(inputs)
    kept = build.decoder(replace(config, prune_ratio=0.75), random_weights=True).eval()(inputs)
    assert torch.equal(kept.opacities, whole.prune(0.25).opacities) and torch.equal(kept.means, whole.prune(0.25).means)
