"""Every task at tiny size: its loss is a number that reaches every parameter and falls, its packed network loads."""

import json
import math
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from lyra import training
from lyra.cli import main
from lyra.hub import list_models, load_model, save_model
from lyra.models.depth import DepthNet
from lyra.models.teacher import Teacher, TeacherConfig
from lyra.models.tokenizer import Tokenizer
from lyra.structures import InputError
from lyra.training import caption_stream
from lyra.training.checkpoint import load_checkpoint
from lyra.training.loop import _groups as parameter_groups
from lyra.training.loop import run_loop
from lyra.training.networks import load_part
from lyra.training.options import TrainOptions
from lyra.training.tasks import teacher as teacher_task
from lyra.training.train import make_task, train

TASKS = ["tokenizer", "depth", "teacher", "frames", "decoder", "text"]
CPU = torch.device("cpu")


def quiet(line: str) -> None:
    """Take a log line and say nothing."""


@pytest.mark.parametrize("name", TASKS)
def test_gradients_arrive_everywhere_and_the_packed_network_loads_and_goes_on(name, tiny):
    choices = {"batch": 6} if name == "teacher" else {}  # so that texts are among the few examples
    options = tiny(name, steps=3, **choices)
    task = make_task(options, CPU)
    moved = set()
    for parameter_name, parameter in task.network.named_parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(
                lambda p, key=parameter_name: moved.add(key) if bool(p.grad.any()) else None
            )
    packed = run_loop(task, options, quiet)
    # what starts behind a zero layer waits for that layer's first step
    trained = {key for key, parameter in task.network.named_parameters() if parameter.requires_grad}
    # while all scores lie between -1 and 1, true and imagined frames pull at the critic's last bias alike
    assert trained - {f"adversary.heads.{tap}.4.bias" for tap in range(3)} <= moved <= trained

    lines = [json.loads(line) for line in (options.out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert all(math.isfinite(value) for line in lines for value in line.values())
    assert (options.out / "step_000003.png").is_file() == (name != "text")
    (card,) = list_models(options.out)
    assert card.name == f"{name}/nano" and packed == options.out / name / "nano.safetensors"
    assert card.scores and all(math.isfinite(score) for score in card.scores.values())
    assert card.recipe["steps"] == 3 and card.recipe["options"]["height"] == 32
    loaded = load_model(card.name, weights_dir=options.out, kind=type(task.model))
    assert loaded.config == task.model.config

    train(tiny(name, steps=5, resume=True, score=False), notify=quiet)
    lines = [json.loads(line) for line in (options.out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2, 3, 4]
    state = load_checkpoint(options.out)
    assert state["step"] == 5
    prefix = {"text": "encoder.", "frames": "decoder."}.get(name, "")
    assert any(not torch.equal(state["average"][prefix + key], value) for key, value in loaded.named_parameters())


def squared_error(numbers: dict) -> float:
    """From the PSNR that a task logs."""
    return 10 ** (-float(numbers["psnr"]) / 10)


LESSONS = {
    "tokenizer": (3e-3, 60, lambda loss, numbers: squared_error(numbers), 0.95),  # its linear code starts near its best
    "depth": (2e-3, 20, lambda loss, numbers: float(loss), 0.5),
    "teacher": (1e-2, 120, lambda loss, numbers: float(loss), 0.7),
    "frames": (2e-3, 90, lambda loss, numbers: squared_error(numbers), 0.5),
    "decoder": (3e-3, 70, lambda loss, numbers: squared_error(numbers), 0.5),
    "text": (1e-2, 60, lambda loss, numbers: float(loss), 0.6),
}
"""Rate, steps, what is measured, and to which part of its first value it must fall."""


@pytest.mark.parametrize("name", LESSONS)
def test_a_task_learns_two_examples_by_heart(name, tiny, monkeypatch):
    rate, steps, measure, factor = LESSONS[name]
    # where the untrained decoder is nearly right, there is little to learn: these two scenes it gets wrong
    task = make_task(tiny(name, steps=1, seed=3 if name == "decoder" else 0), CPU)
    # of the highest levels little can be learned in so few steps: they are left as rare as they were
    monkeypatch.setattr(teacher_task, "HIGH_LEVELS", 0.2)
    if name == "text":
        task.stream.descriptions = task.stream.descriptions[:2]
        monkeypatch.setattr(caption_stream, "MIXED", 0.0)
    elif name == "depth":
        same = task.feed.next()
        task.feed.next = lambda: same
    else:
        task._refresh = lambda *_: None  # the pool stays as it is

    @torch.set_grad_enabled(name == "frames")  # its loss asks for gradients of the frames
    def examine() -> float:
        marks = []
        for question in range(1, 9):
            torch.manual_seed(question)
            marks.append(measure(*task.loss(question, 0.5)))
        return sum(marks) / len(marks)

    before = examine()
    task.learning_rate = rate
    groups = parameter_groups(task)
    for group in groups:
        group["lr"] = group["base_lr"]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99))
    for step in range(steps):
        optimizer.zero_grad()
        task.loss(step, 0.5)[0].backward()
        torch.nn.utils.clip_grad_norm_(task.network.parameters(), 1.0)
        optimizer.step()
    after = examine()
    assert after < factor * before


@pytest.mark.parametrize("name", ["teacher", "decoder"])
def test_every_third_batch_is_of_portrait_format(name, tiny):
    task = make_task(tiny(name, steps=1, pool=6), CPU)
    network, shapes = task.network, []

    def look(*given):
        pictures = given[0] if name == "teacher" else given[0].rgb
        shapes.append(tuple(pictures.shape[-2:]))
        return network(*given)

    task.use(look)
    for step in range(3):
        shapes.clear()
        torch.manual_seed(step)
        loss, _ = task.loss(step, 0.5)
        flat = (4, 8) if name == "teacher" else (32, 64)
        assert math.isfinite(float(loss.detach())) and set(shapes) == {flat[::-1] if step == 2 else flat}


def test_other_networks_come_from_the_users_folder_first_and_then_from_inside(tiny, tmp_path, monkeypatch):
    options = tiny("teacher", steps=1)
    own = load_part("depth/nano", DepthNet, options, CPU)
    assert own.config == load_model("depth/nano", weights_dir=options.models, kind=DepthNet).config
    # a folder that has no such network: the weights that ship inside, here those of another folder
    monkeypatch.setenv("LYRA_WEIGHTS_DIR", str(options.models))
    bare = tiny("teacher", steps=1, models=tmp_path)
    assert load_part("tokenizer/nano", Tokenizer, bare, CPU).channels == own.config.refine_width
    with pytest.raises(InputError, match="is not a folder"):
        load_part("depth/nano", DepthNet, tiny("teacher", steps=1, models=tmp_path / "nowhere"), CPU)


@pytest.mark.parametrize("name", ["depth", "decoder"])
def test_a_start_of_another_kind_is_refused(name, tiny, tmp_path):
    teacher = Teacher(TeacherConfig(heads=2, head_dim=16, layers=1, text_dim=8, adaln_lora_dim=4))
    save_model(teacher, "teacher/nano", teacher.config, folder=tmp_path / "own")
    with pytest.raises(InputError, match="is a Teacher"):
        make_task(tiny(name, steps=1, init=str(tmp_path / "own")), CPU)


def _field(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def test_the_command_passes_every_choice_on(tmp_path, monkeypatch):
    asked = []
    (tmp_path / "encoder.safetensors").touch()
    monkeypatch.setattr(training, "train", lambda *given: asked.extend(given) or Path("packed"))
    words = {
        "--out": tmp_path, "--seconds": 7.5, "--steps": 3, "--seed": 4, "--textures": tmp_path / "pack",
        "--device": "cpu", "--batch": 2, "--pool": 5, "--height": 64, "--width": 96, "--workers": 2,
        "--init": "depth/nano", "--models": tmp_path / "models", "--encoder": tmp_path / "encoder.safetensors",
        "--stills": 0.25,
        "--stop-after": 2.5, "--recipe": "nano", "--store": tmp_path / "store", "--rate": 0.25, "--accumulate": 3,
    }  # fmt: skip
    given = [str(word) for pair in words.items() for word in pair]
    flags = ["--compile", "--eager", "--resume", "--checkpoint-activations", "--shard"]
    assert main(["train", "depth", *given, *flags]) == 0
    options, encoder = asked
    assert encoder == tmp_path / "encoder.safetensors"
    expected = {_field(word): value for word, value in words.items() if word != "--encoder"}
    expected |= {"task": "depth", "from_stage": None, **{_field(flag): True for flag in flags}}
    left_out = {"score", "log_every", "image_every", "save_every"}
    assert {f.name for f in fields(TrainOptions)} - left_out == set(expected)
    assert {name: getattr(options, name) for name in expected} == expected


def test_the_command_trains_and_says_where_the_network_lies(tiny, tmp_path, capsys):
    words = ["--steps", "1", "--height", "32", "--width", "64", "--batch", "2", "--device", "cpu"]
    assert main(["train", "depth", "-o", str(tmp_path / "run"), *words]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1].split() == ["network", str(tmp_path / "run" / "depth" / "nano.safetensors")]
    assert Path(printed[-1].split()[1]).is_file()


@pytest.mark.parametrize(
    ("name", "choice", "words"),
    [
        ("depth", {"store": Path("scenes")}, "--store holds scenes for the decoder"),
        ("tokenizer", {"checkpoint_activations": True}, "--checkpoint-activations is not for the tokenizer"),
        ("decoder", {"shard": True}, "--shard splits the teacher"),
        ("teacher", {"shard": True}, "--shard needs several processes; start them with torchrun"),
        ("teacher", {"from_stage": "late"}, "leave --from-stage out"),
        ("decoder", {"recipe": "best"}, "no recipe 'best'"),
    ],
)
def test_choices_that_a_task_does_not_have_are_refused_at_once(name, choice, words, tmp_path):
    with pytest.raises(InputError, match=words):
        train(TrainOptions(name, tmp_path / "run", steps=1, device="cpu", **choice))
    assert not (tmp_path / "run").exists()
