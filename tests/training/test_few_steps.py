"""Distilling the teacher to few steps: targets against exact solutions, losses that fall, runs that go on."""

import pytest
import torch
from torch import Tensor

from lyra.cli import main
from lyra.diffusion import karras_sigmas, nested_sigmas, sample
from lyra.hub import list_models, load_model, save_model
from lyra.models.teacher import Teacher, TeacherConfig, TeacherInputs
from lyra.structures import InputError
from lyra.training import train
from lyra.training.checkpoint import load_checkpoint
from lyra.training.few_steps import consistency_target, draw_high, euler_step, progressive_target, pseudo_huber
from lyra.training.loop import run_loop
from lyra.training.tasks import teacher as teacher_task
from lyra.training.tasks.few_step_teacher import LEVELS, ConsistencyTeacherTask, ProgressiveTeacherTask, phase_at
from lyra.training.train import make_task

from .conftest import TEACHER
from .test_recorded import pools
from .test_resume_tasks import Interrupted, break_at, tensors

__all__ = ["pools"]

CPU = torch.device("cpu")
RECIPES = ["consistency", "progressive"]
SIGMAS = karras_sigmas(LEVELS, 0.02, 80.0)
MEAN, VARIANCE = 0.7, 0.25


def quiet(line: str) -> None:
    """Take a log line and say nothing."""


def ideal(x: Tensor, sigma: Tensor) -> Tensor:
    """Mean of the clean x for a Gaussian: linear in x."""
    share = VARIANCE / (VARIANCE + sigma**2)
    return MEAN + share.reshape(-1, *[1] * (x.ndim - 1)) * (x - MEAN)


def solution(x: Tensor, sigma: Tensor, following: Tensor) -> Tensor:
    """Where the probability-flow ODE of that Gaussian leads: distances from the mean go with the standard deviation."""
    factor = ((VARIANCE + following**2) / (VARIANCE + sigma**2)).sqrt()
    return MEAN + factor[:, None] * (x - MEAN)


@pytest.mark.parametrize("place", range(0, LEVELS, 2))
def test_one_step_to_the_progressive_target_lands_where_two_steps_land(place):
    torch.manual_seed(place)
    s, m, e = (level.expand(3) for level in SIGMAS[place : place + 3])
    x = MEAN + (VARIANCE + s[:, None] ** 2).sqrt() * torch.randn(3, 5, dtype=torch.float64)
    # each step multiplies the distance from the mean by 1 + (1 - share) (next - level) / level
    factors = [1 + (level**2 / (VARIANCE + level**2)) * (after - level) / level for level, after in ((s, m), (m, e))]
    analytic = MEAN + (factors[0] * factors[1])[:, None] * (x - MEAN)
    landed = euler_step(x, progressive_target(ideal, x, s, m, e), s, e)
    assert torch.allclose(landed, analytic, rtol=0, atol=1e-9)
    rough = progressive_target(ideal, x.float(), s.float(), m.float(), e.float())
    assert torch.allclose(rough.double(), progressive_target(ideal, x, s, m, e), rtol=1e-5, atol=1e-5)


def test_four_phases_learned_perfectly_make_one_step_of_sixteen():
    torch.manual_seed(0)
    student = ideal
    for stride in (1, 2, 4, 8):
        table = {float(SIGMAS[k]): SIGMAS[[k + stride, k + 2 * stride]] for k in range(0, LEVELS, 2 * stride)}

        def halved(x: Tensor, sigma: Tensor, reference=student, table=table) -> Tensor:
            between, following = table[float(sigma[0])]
            return progressive_target(reference, x, sigma, between.expand_as(sigma), following.expand_as(sigma))

        student = halved
    noise = torch.randn(4, 6)
    levels = SIGMAS.double()
    many = sample(ideal, noise.double(), levels)
    x = noise.double() * (80.0**2 + 1) ** 0.5
    one = student(x, levels[:1].expand(4))
    assert torch.allclose(one, many.double(), atol=1e-5)
    assert float((ideal(x, levels[:1].expand(4)) - one).abs().max()) > 0.1  # which one plain step does not


def test_a_reference_may_overwrite_what_it_returned():
    torch.manual_seed(1)
    x, (s, m, e) = torch.randn(2, 3).double() * 9, (level.expand(2) for level in SIGMAS[4:7])
    kept = torch.empty_like(x)
    overwriting = progressive_target(lambda x, sigma: kept.copy_(ideal(x, sigma)), x, s, m, e)
    assert torch.equal(overwriting, progressive_target(ideal, x, s, m, e))


def exact_step(x: Tensor, sigma: Tensor) -> Tensor:
    """The estimate whose Euler step to the next level lands on the exact solution."""
    places = (SIGMAS[None] - sigma[:, None]).abs().argmin(dim=1)
    following = SIGMAS[places + 1]
    ratio = (following / sigma)[:, None]
    return (solution(x, sigma, following) - ratio * x) / (1 - ratio)


def test_what_is_consistent_already_is_its_own_target():
    torch.manual_seed(2)
    places = torch.arange(LEVELS)
    sigma, following = SIGMAS[places], SIGMAS[places + 1]
    x = MEAN + (VARIANCE + sigma[:, None] ** 2).sqrt() * torch.randn(LEVELS, 4, dtype=torch.float64)

    def consistent(x: Tensor, sigma: Tensor) -> Tensor:
        return solution(x, sigma, torch.zeros_like(sigma))

    target = consistency_target(exact_step, consistent, x, sigma, following, SIGMAS[-2])
    assert torch.allclose(target, consistent(x, sigma), rtol=0, atol=1e-9)
    # the denoiser, whose own estimates are means, is not; at the lowest level the frozen network has the last word
    target = consistency_target(exact_step, ideal, x, sigma, following, SIGMAS[-2])
    away = (target - ideal(x, sigma)).abs().amax(dim=1)
    assert float(away[3:-1].max()) > 0.05 and torch.equal(target[-1], exact_step(x, sigma)[-1])


def test_half_of_the_draws_are_high_and_every_level_is_drawn():
    torch.manual_seed(3)
    counts = torch.bincount(draw_high(32_000, LEVELS, CPU), minlength=LEVELS).double()
    assert len(counts) == LEVELS
    assert (counts[:4] / 4000 - 1).abs().max() < 0.08 and (counts[4:] / (16_000 / 12) - 1).abs().max() < 0.12


def test_small_errors_are_squared_and_large_ones_are_not():
    loss = pseudo_huber(torch.tensor([0.0, 1e-6, 4.0, 16.0], dtype=torch.float64), 0.03)
    assert float(loss[0]) == 0 and abs(float(loss[1]) * 2 * 0.03 / 1e-6 - 1) < 1e-3
    assert abs(float(loss[3] - loss[2]) - 2) < 1e-3


def test_schedules_of_fewer_steps_are_part_of_the_fine_one():
    config = TeacherConfig(level_grid=LEVELS)
    assert torch.equal(config.levels(16), SIGMAS) and torch.equal(config.levels(4), SIGMAS[::4])
    assert config.levels(1).tolist() == [SIGMAS[0], 0] and torch.equal(config.levels(), config.levels(1))
    assert torch.equal(config.levels(3), karras_sigmas(3, 0.02, 80.0))
    assert torch.equal(TeacherConfig().levels(4), karras_sigmas(4, 0.02, 80.0))
    with pytest.raises(ValueError, match="3 steps are no part of a schedule of 16"):
        nested_sigmas(3, 16, 0.02, 80.0)


@pytest.fixture
def start(tmp_path) -> str:
    """A folder with a teacher that has opinions of its own."""
    torch.manual_seed(4)
    teacher = Teacher(TEACHER)
    save_model(teacher, "teacher/nano", teacher.config, storage="fp32", folder=tmp_path / "start")
    return str(tmp_path / "start")


@pytest.mark.parametrize("recipe", RECIPES)
def test_gradients_reach_the_student_only(recipe, tiny, start):
    task = make_task(tiny("teacher", steps=1, recipe=recipe, init=start, batch=6), CPU)
    assert isinstance(task, ConsistencyTeacherTask if recipe == "consistency" else ProgressiveTeacherTask)
    assert task.stills == 1 and task.learning_rate == 1e-4
    before = {name: weight.clone() for name, weight in task.frozen.named_parameters()}
    torch.manual_seed(5)
    # bfloat16 keeps rounded weights for the calls after; those of calls without gradient must not be taken
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, numbers = task.loss(0, 0.0)
    assert float(loss.detach()) > 1e-3 and {"error", "hole_error", "high_noise", "still"} == set(numbers)
    loss.backward()
    copies = [task.frozen, *([task.present] if recipe == "consistency" else [])]
    assert all(weight.grad is None for network in copies for weight in network.parameters())
    reached = [
        name for name, weight in task.network.named_parameters() if weight.grad is not None and weight.grad.any()
    ]
    assert len(reached) > 0.9 * len(before)
    assert all(torch.equal(weight, before[name]) for name, weight in task.frozen.named_parameters())


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_loss_of_a_network_that_needs_one_step_is_zero(recipe, tiny, start):
    task = make_task(tiny("teacher", steps=1, recipe=recipe, init=start, stills=0.0, batch=4), CPU)

    def sure(x, sigma, told):
        return told.warped[:, 0]

    torch.manual_seed(6)
    assert float(task.loss(0, 0.0)[0].detach()) > 1e-3
    task.denoise = task.ask_frozen = task.ask_present = sure
    assert abs(float(task.loss(0, 0.0)[0])) < 1e-6


@pytest.mark.parametrize(
    ("recipe", "many", "loss_factor", "factor"), [("consistency", 16, 1, 0.8), ("progressive", 2, 0.5, 0.5)]
)
def test_one_step_comes_near_what_many_steps_make(recipe, many, loss_factor, factor, tiny, start):
    """On two examples, in the last phase of the progressive recipe, whose reference takes two steps.

    The loss of consistency is small at first, for what many steps make is known at the lowest level alone.
    """
    task = make_task(tiny("teacher", steps=1, recipe=recipe, init=start, stills=0.0, batch=4), CPU)
    task._refresh = lambda *_: None  # the pool stays as it is
    clean, *told = (part.float() for part in task.pool.store)
    inputs, levels = TeacherInputs(*told), task.model.config.levels
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(7))
    aim = sample(lambda x, sigma: task.frozen(x, sigma, inputs), noise, levels(many))

    def distance() -> float:
        made = sample(lambda x, sigma: task.model(x, sigma, inputs), noise, levels(1))
        return float((made - aim)[:, :, 1:].square().mean().sqrt())

    before, losses = distance(), []
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=1e-3, betas=(0.9, 0.99))
    for step in range(120):
        optimizer.zero_grad()
        torch.manual_seed(1000 + step)
        loss, _ = task.loss(step, 0.8)
        loss.backward()
        losses.append(float(loss.detach()))
        torch.nn.utils.clip_grad_norm_(task.network.parameters(), 1.0)
        optimizer.step()
    assert distance() < factor * before
    assert sum(losses[-30:]) < loss_factor * sum(losses[:30])


@pytest.mark.parametrize("recipe", RECIPES)
def test_replayed_networks_teach_the_same(recipe, tiny, start, pools, monkeypatch, tmp_path):
    """Also when weights have moved, in a new phase, and in both formats; results are overwritten as on a GPU."""
    losses = []
    for replayed in (False, True):
        monkeypatch.setattr(teacher_task, "records_calls", lambda *_, answer=replayed: answer)
        options = tiny("teacher", steps=4, recipe=recipe, init=start, batch=6, pool=6, out=tmp_path / f"{replayed}")
        task = make_task(options, CPU)
        optimizer = torch.optim.SGD(task.network.parameters(), lr=0.3)
        row = []
        for step in range(6):
            torch.manual_seed(step)
            loss, _ = task.loss(step, step / 6)
            loss.backward()
            row.append(float(loss.detach()))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        losses.append(torch.tensor(row))
    assert torch.allclose(*losses, rtol=1e-4) and not torch.allclose(losses[0], losses[0].roll(3), rtol=1e-2)
    assert len(pools) == (7 if recipe == "consistency" else 5), "clips of two formats for each network, and stills"


def test_phases_split_the_run_equally(tiny, start):
    assert [phase_at(progress) for progress in (0, 0.24, 0.25, 0.5, 0.74, 0.75, 1.0)] == [0, 0, 1, 2, 2, 3, 3]
    task = make_task(tiny("teacher", steps=8, recipe="progressive", init=start), CPU)
    places: dict[int, set[int]] = {}
    for phase in range(4):
        for _ in range(20):
            task._enter(phase)
            drawn, following = task._draw(32)
            places.setdefault(phase, set()).update(drawn.tolist())
            assert set((following - drawn).tolist()) == {2 ** (phase + 1)} and int(following.max()) == LEVELS
    assert places == {phase: set(range(0, LEVELS, 2 ** (phase + 1))) for phase in range(4)}


@pytest.mark.parametrize("recipe", RECIPES)
def test_resumed_equals_unbroken(recipe, tiny, start, tmp_path):
    choices = {"steps": 8, "save_every": 5, "score": False, "recipe": recipe, "init": start, "rate": 1e-2}
    whole = tiny("teacher", out=tmp_path / "whole", **choices)
    train(whole, notify=quiet)
    parts = tiny("teacher", out=tmp_path / "parts", **choices)
    task = make_task(parts, CPU)
    break_at(task, 5)  # in the midst of the third phase
    with pytest.raises(Interrupted):
        run_loop(task, parts, quiet)
    assert load_checkpoint(parts.out)["step"] == 5
    train(tiny("teacher", out=tmp_path / "parts", resume=True, **choices), notify=quiet)
    one, other = (tensors(load_checkpoint(run.out)) for run in (whole, parts))
    assert len(one) > 20 and one.keys() == other.keys()
    assert [path for path in one if not torch.equal(one[path], other[path])] == []
    for run in (whole, parts):
        packed = load_model("teacher/nano", weights_dir=run.out, kind=Teacher)
        assert packed.config.steps == 1 and packed.config.level_grid == LEVELS and packed.config.text
        found = {path.name: list_models(path)[0].name for path in (run.out / "stages").glob("*")}
        if recipe == "progressive":
            assert set(found) == {"16-to-8", "8-to-4", "4-to-2"}
            for name in found:
                kept = load_model("teacher/nano", weights_dir=run.out / "stages" / name, kind=Teacher)
                assert kept.config.steps == int(name.split("-")[-1])


def test_a_lost_reference_is_replaced_by_the_student(tiny, start):
    choices = {"steps": 8, "save_every": 5, "score": False, "recipe": "progressive", "init": start}
    options = tiny("teacher", **choices)
    task = make_task(options, CPU)
    break_at(task, 5)
    with pytest.raises(Interrupted):
        run_loop(task, options, quiet)
    (options.out / "reference.pt").write_bytes(b"torn")
    train(tiny("teacher", **{**choices, "resume": True}), notify=quiet)
    assert load_checkpoint(options.out)["step"] == 8


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_teacher_to_distil_is_needed(recipe, tiny, capsys, tmp_path):
    words = ["--recipe", recipe, "--steps", "1", "--device", "cpu", "-o", str(tmp_path / "run")]
    assert main(["train", "teacher", *words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "--init teacher/nano" in line
    with pytest.raises(InputError, match="leave --shard out"):
        make_task(tiny("teacher", steps=1, recipe=recipe, init="teacher/nano", shard=True), CPU)


@pytest.mark.parametrize("recipe", RECIPES)
def test_scores_and_pictures_of_a_finished_run(recipe, tiny, start):
    options = tiny("teacher", steps=2, recipe=recipe, init=start, batch=6)
    train(options, notify=quiet)
    (card,) = list_models(options.out)
    assert "psnr_steps1" in card.scores and (options.out / "step_000002.png").is_file()


def test_the_recipes_can_be_shown(capsys):
    for recipe in RECIPES:
        assert main(["train", "teacher", "--recipe", recipe, "--show"]) == 0
        assert f"recipe {recipe}: AdamW 0.0001" in capsys.readouterr().out
