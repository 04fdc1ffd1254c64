"""Recorded calls give what launching the kernels gives, also after the weights have moved."""

import copy
import pickle
import warnings
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lyra.hub import load_model
from lyra.models.decoder import GaussianDecoder
from lyra.models.decoder.trunk import Trunk
from lyra.models.perceptual import SqueezePerceptual
from lyra.models.teacher import Teacher, TeacherConfig
from lyra.models.tokenizer import FrameDecoder, FrameDecoderConfig
from lyra.training import TrainOptions, recipes, recorded
from lyra.training.contest import Contest
from lyra.training.recorded import RecordedCalls, records_calls
from lyra.training.recorded_trunk import RecordedTrunk
from lyra.training.seeds import STEP, seed_everything
from lyra.training.tasks import decoder, moving_decoder
from lyra.training.tasks.frames import Judgement
from lyra.training.tasks.teacher import Spread
from lyra.training.train import make_task

from .conftest import DECODER, tiny_decoder_recipe

RUN = TrainOptions("teacher", Path("run"), steps=1)
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "change", [{"eager": True}, {"compile": True}, {"accumulate": 2}, {"shard": True}, {"checkpoint_activations": True}]
)
def test_only_what_can_be_replayed_is_recorded(change):
    assert records_calls(RUN, torch.device("cuda"))
    assert not records_calls(RUN, CPU)
    assert not records_calls(replace(RUN, **change), torch.device("cuda"))


def _graphed(call, samples, allow_unused_input, pool):
    """`torch.cuda.make_graphed_callables` on a CPU: one set of inputs, results and gradients, overwritten each time."""
    assert allow_unused_input
    now: dict[str, Tensor] = {}
    wanted = [sample for sample in samples if sample.requires_grad]
    slopes = [torch.zeros_like(sample) for sample in wanted]
    kept = call(*samples).detach().clone()

    class Graph(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *values):
            for own, value in zip(samples, values, strict=True):
                if own.data_ptr() != value.data_ptr():
                    own.copy_(value)
            with torch.enable_grad():
                now["result"] = call(*samples)
            return kept.copy_(now["result"].detach()).detach()

        @staticmethod
        @once_differentiable
        def backward(ctx, slope):
            for own, new in zip(slopes, torch.autograd.grad(now["result"], wanted, slope), strict=True):
                own.copy_(new)
            found = iter(slopes)
            return tuple(next(found).detach() if sample.requires_grad else None for sample in samples)

    return Graph.apply


@pytest.fixture
def pools(monkeypatch) -> list[object]:
    """Record on the CPU; the pools that were used."""
    used: list[object] = []

    def graphed(call, samples, allow_unused_input, pool):
        used.append(pool)
        return _graphed(call, samples, allow_unused_input, pool)

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", graphed)
    monkeypatch.setattr(recorded, "_new_pool", object)
    monkeypatch.setattr(recorded, "_undoing", lambda pool: nullcontext())
    return used


class _Embedded(nn.Module):
    """Tokens whose embedding learns, too, as those of the decoder's trunk."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.embed, self.trunk = nn.Linear(8, trunk.norm.normalized_shape[0]), trunk

    def forward(self, *parts: Tensor) -> Tensor:
        """Mean square over the tokens of several calls."""
        return torch.stack([self.trunk(self.embed(part)).float().square().mean() for part in parts]).sum()


def _trunk(attention_every: int) -> _Embedded:
    config = replace(
        DECODER, width=64, depth=2, heads=2, attention_every=attention_every, ssm_state=16, ssm_head=16, ssm_chunk=16,
        zero_init_residual=False,
    )  # fmt: skip
    return _Embedded(GaussianDecoder(config).trunk)


def _gradients(loss: Tensor, module: nn.Module) -> list[Tensor]:
    """The loss and its gradients, which are then gone."""
    loss.backward()
    found = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in module.parameters()]
    module.zero_grad(set_to_none=True)
    assert any(float(g.abs().max()) > 0 for g in found)
    return [loss.detach().clone(), *found]


def _check_same(launched: list[Tensor], replayed: list[Tensor], limit: float) -> None:
    """The loss, and all gradients: largest difference over largest value, or a hundredth of that of all gradients."""
    largest = max(float(a.abs().max()) for a in launched[1:])
    for a, b in zip(launched, replayed, strict=True):
        assert float((a - b).abs().max()) <= limit * max(float(a.abs().max()), 0.01 * largest)


def _move(module: nn.Module, gradients: list[Tensor]) -> None:
    """A step of gradient descent; the loss comes first in ``gradients``."""
    with torch.no_grad():
        for parameter, gradient in zip(module.parameters(), gradients[1:], strict=True):
            parameter -= 0.05 * gradient


def _check_steps(module: _Embedded, device: str, limit: float) -> None:
    """Steps of one or two calls, some with equal shapes, against the same steps without records."""
    steps = RecordedTrunk(module.trunk)
    for lengths in ((24, 24), (24,), (24, 40), (40, 24), (24, 24)):
        parts = [torch.randn(2, length, 8, device=device) for length in lengths]
        launched = _gradients(module(*parts), module)
        with steps.step():
            loss = module(*parts)
        replayed = _gradients(loss, module)
        _check_same(launched, replayed, limit)
        _move(module, launched)
    assert not steps._calls.failed


def test_calls_of_one_step_may_have_equal_shapes(pools):
    torch.manual_seed(0)
    _check_steps(_trunk(1), "cpu", 1e-5)
    # at the first place tokens of two lengths, at the second place too; each place has its memory
    assert len(pools) == 4 and len(set(pools)) == 2


def test_records_are_let_go(pools):
    steps = RecordedTrunk(_trunk(1).trunk)
    tokens = torch.randn(1, 4, 64)
    for _ in range(2):
        with steps.step():
            steps._trunk(tokens)
    assert len(pools) == 1
    steps.forget()
    with steps.step():
        steps._trunk(tokens)
    assert len(pools) == 2 and pools[0] is not pools[1]


def test_the_network_does_not_know_of_its_records(pools):
    model = GaussianDecoder(DECODER)
    names, plain = list(model.state_dict()), pickle.dumps(model)
    steps = RecordedTrunk(model.trunk)
    tokens = torch.randn(1, 6, DECODER.width)
    with steps.step():
        model.trunk(tokens)
        with torch.no_grad():
            assert torch.equal(model.trunk(tokens), model.trunk.mix(tokens))
        assert len(pools) == 1, "without gradients the kernels are launched"
    assert list(model.state_dict()) == names and pickle.dumps(model) == plain
    assert [name for name, _ in model.named_parameters()] == [n for n, _ in copy.deepcopy(model).named_parameters()]
    assert all(type(p) is nn.Parameter and p.grad is None for p in model.parameters())
    model.trunk(tokens)
    assert len(pools) == 1, "only steps are recorded"


def test_what_cannot_be_recorded_is_launched(pools, monkeypatch):
    def broken(*given, **named):
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", broken)
    module = nn.Linear(3, 2)
    calls, x = RecordedCalls(module), torch.randn(4, 3)
    with pytest.warns(RuntimeWarning, match=r"RuntimeError: operation not permitted\)") as heard:
        result = calls(x)
    assert torch.equal(result, module(x)) and calls.failed and len(heard) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(calls(x[:2]), module(x[:2]))


def test_trunks_that_compute_again_are_not_recorded(pools):
    trunk = Trunk(replace(DECODER, checkpoint_blocks=True)).train()
    with RecordedTrunk(trunk).step():
        trunk(torch.randn(1, 4, DECODER.width))
    assert not pools


def test_the_decoder_learns_the_same_from_replayed_steps(pools, tiny, monkeypatch, few_textures):
    def recipe(name: str, from_stage: str | None = None):
        return replace(tiny_decoder_recipe(name, from_stage), network=lambda: replace(DECODER, pooled_time=True))

    def clips(worlds, store, order, times, scale, height, width):  # what they show does not matter
        return torch.rand(len(order), 17, 3, height, width), None

    monkeypatch.setattr(decoder, "decoder_recipe", recipe)
    monkeypatch.setattr(moving_decoder, "load_textures", lambda path, split: few_textures[split])
    monkeypatch.setattr(moving_decoder, "CANDIDATES", 2)
    monkeypatch.setattr(moving_decoder, "film_standing", clips)
    monkeypatch.setattr(moving_decoder, "source_scale", lambda worlds, *rest: torch.ones(2))
    task = make_task(tiny("decoder", recipe=recipes.DYNAMIC, batch=1, steps=4), CPU)
    assert task.recorded is None, "on a CPU kernels are launched"

    def gradients() -> list[list[Tensor]]:
        found = []
        for step in range(2):  # a scene that stands still, and one that moves
            seed_everything(STEP, 0, step, 0)
            found.append(_gradients(task.loss(step, 0.0)[0], task.network))
        return found

    launched = gradients()
    assert not pools
    monkeypatch.setattr(decoder, "records_calls", lambda options, device: True)
    task.use(task.network)
    for _ in range(2):  # recorded, then replayed
        for one, other in zip(launched, gradients(), strict=True):
            _check_same(one, other, 1e-4)
    assert len(pools) == 3, "a still scene, a picture, and clips"
    task._enter(task.now)
    assert not task.recorded._calls._recorded


def _teacher() -> tuple[nn.Module, list[tuple[Tensor | None, ...]]]:
    config = TeacherConfig(latent_channels=8, heads=2, head_dim=16, layers=2, text_dim=16, text_tokens=4, text=True)
    clips = [(torch.rand(2) + 0.1, torch.randn(2, 8, 1, 4, 6)) for _ in range(3)]
    calls: list[tuple[Tensor | None, ...]] = []
    for sigma, source in clips:
        for first in (source, None):
            latents, mask = torch.randn(2, 2, 8, 3, 4, 6), torch.rand(2, 1, 8, 3, 4, 6)
            calls.append((latents[0], sigma, first, latents[1][:, None], mask, torch.randn(2, 4, 16)))
    return Spread(Teacher(config)), calls


def _frames() -> tuple[nn.Module, list[tuple[Tensor | None, ...]]]:
    features = load_model("perceptual/squeeze", kind=SqueezePerceptual)
    painter = FrameDecoder(FrameDecoderConfig(latent_channels=8, widths=(16, 32), blocks=(1, 1)))
    calls: list[tuple[Tensor | None, ...]] = [
        (
            torch.randn(1, 8, 2, 8, 8), torch.rand(1, 9, 3, 64, 64), torch.rand(1, 9, 64, 64) < 0.5,
            torch.rand(1, 9, 3, 64, 64), torch.randperm(9)[:3], torch.tensor(0.1 * (i + 1)),
        )
        for i in range(3)
    ]  # fmt: skip
    module = Judgement(Contest(painter, features), features)
    features.cuda()
    return module, calls


def _launched_and_replayed(make, rounded: bool):
    """Loss and gradients of every step, both ways from the same weights; these move in between."""
    torch.manual_seed(0)
    module, given = make()
    module = module.cuda()
    calls = RecordedCalls(module)
    for tensors in given:
        ways = []
        for call in (module, calls):
            with torch.autocast("cuda", torch.bfloat16, enabled=rounded):
                result = call(*(None if x is None else x.cuda() for x in tensors))
                loss = result[0] if isinstance(result, tuple) else result.float().square().mean()
            ways.append(_gradients(loss, module))
        assert not calls.failed
        yield ways
        _move(module, ways[0])


@pytest.fixture
def whole_floats():
    """Products of float32 numbers keep their digits."""
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)  # their attributes cannot be deleted, only set
    before = [switch.allow_tf32 for switch in switches]
    for switch in switches:
        switch.allow_tf32 = False
    yield
    for switch, value in zip(switches, before, strict=True):
        switch.allow_tf32 = value


@pytest.mark.gpu
@pytest.mark.parametrize("make", [_teacher, _frames])
def test_replayed_steps_are_the_launched_ones(make, whole_floats):
    """The same kernels on the same numbers: only sums in another order, where a library chooses one, may differ."""
    for launched, replayed in _launched_and_replayed(make, rounded=False):
        _check_same(launched, replayed, 1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("make", [_teacher, _frames])
def test_replayed_steps_are_the_launched_ones_in_half_precision(make):
    """As far as bfloat16 can tell: it keeps 8 bits, so a sum in another order is off by up to 0.4 %, at every layer
    that the gradient passes. Single small numbers are off by more, therefore the whole gradient is compared.
    """
    for launched, replayed in _launched_and_replayed(make, rounded=True):
        assert float((launched[0] - replayed[0]).abs()) <= 1e-2 * float(launched[0].abs())
        a, b = (torch.cat([g.flatten() for g in way[1:]]) for way in (launched, replayed))
        assert float((a - b).norm()) <= 3e-2 * float(a.norm())


@pytest.mark.gpu
@pytest.mark.parametrize("attention_every", [1, 2])
def test_replayed_trunks_are_the_launched_ones(attention_every, whole_floats):
    torch.manual_seed(0)
    _check_steps(_trunk(attention_every).cuda(), "cuda", 1e-4)


class _Asking(nn.Module):
    """Waits for a number, which a recording must not."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x if float(x.sum()) > 0 else x - self.weight


@pytest.mark.gpu
def test_a_recording_that_breaks_off_leaves_no_trace():
    module, x = _Asking().cuda(), torch.ones(2, 3, device="cuda")
    calls, stream = RecordedCalls(module), torch.cuda.current_stream()
    with pytest.warns(RuntimeWarning, match="could not be recorded"):
        result = calls(x)
    assert calls.failed and torch.equal(result, x) and torch.cuda.current_stream() == stream
    assert len(_gradients(result.sum(), module)) == 2
    seed_everything(STEP, 0, 0, 0)
    first = torch.rand(4, device="cuda")
    seed_everything(STEP, 0, 0, 0)
    assert torch.equal(torch.rand(4, device="cuda"), first)
    torch.cuda.empty_cache()
    other = RecordedCalls(nn.Linear(3, 2).cuda())
    other(x)
    assert not other.failed
