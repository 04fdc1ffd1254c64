"""Distil the teacher, so that few steps, or one, make what many made."""

import copy
from abc import abstractmethod
from dataclasses import replace

import torch
from torch import Tensor

from lyra.diffusion import Denoiser, precondition
from lyra.io.files import replacing
from lyra.models.teacher import Teacher, TeacherInputs
from lyra.structures import InputError
from lyra.training.checkpoint import UNREADABLE
from lyra.training.few_steps import (
    HIGHEST,
    consistency_target,
    draw_high,
    progressive_target,
    pseudo_huber,
    wide,
)
from lyra.training.options import TrainOptions
from lyra.training.processes import rank_and_size
from lyra.training.tasks.teacher import HOLE_WEIGHT, Denoise, TeacherTask

LEVELS = 16
"""Noise levels of the finest schedule, without the zero at its end."""
PHASES = (16, 8, 4, 2)
"""Steps of the reference network in each phase; the student learns to need half as many."""
REFERENCE = "reference.pt"
"""File in the folder of a run: the network whose two steps the student of the present phase learns to take at once."""


class FewStepTeacherTask(TeacherTask):
    """Learns from a frozen network, on the examples, captions and cameras of `TeacherTask`.

    First pictures from text keep their ordinary loss: they are made in many steps.
    """

    def __init__(self, options: TrainOptions, device: torch.device, step: int = 0) -> None:
        name = options.recipe
        if not options.init:
            raise InputError(f"the recipe {name} needs a teacher to distil; give --init teacher/nano")
        if options.shard:
            raise InputError(f"the recipe {name} keeps whole copies of the teacher on each device; leave --shard out")
        self.frozen: Teacher
        super().__init__(options, device, step)
        self.schedule_levels = self.model.config.levels(LEVELS).float().to(device)

    def _first_model(self) -> Teacher:
        """The network to start from, told which levels it will be sampled at; a copy of it stays as it is."""
        model = super()._first_model()
        model.config = replace(model.config, level_grid=LEVELS)
        self.frozen, self.ask_frozen = self._copy(model)
        return model

    def _copy(self, model: Teacher) -> tuple[Teacher, Denoise]:
        """A copy of a network that does not learn, and how it is asked."""
        network = copy.deepcopy(model).to(self.device).eval().requires_grad_(False)
        return network, self._replayed(network)

    def _clip_loss(self, clean: Tensor, inputs: TeacherInputs) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Difference to the target in all frames but the first, which is given.

        The squared errors of an example are averaged as in `TeacherTask`, in the unit in which all noise levels weigh
        the same; the loss grows with their root.
        """
        places, following = self._draw(len(clean))
        sigma = self.schedule_levels[places]
        noisy = clean + wide(sigma, clean) * torch.randn_like(clean)
        with torch.no_grad():
            target = self._target(noisy, places, following, inputs)
        estimate = self.denoise(noisy, sigma, inputs)
        scale = precondition(sigma, self.model.config.sigma_data).out
        error = ((estimate - target) / wide(scale, clean)).square()[:, :, 1:]
        hole = self._holes(inputs)
        squares = (self.importance * (1 + HOLE_WEIGHT * hole) * error).mean(dim=(1, 2, 3, 4))
        return pseudo_huber(squares).mean(), self._numbers(error, hole, places < LEVELS // HIGHEST)

    @abstractmethod
    def _draw(self, count: int) -> tuple[Tensor, Tensor]:
        """[count] positions in ``schedule_levels`` at which the student is asked, and [count] those it steps to."""

    @abstractmethod
    def _target(self, noisy: Tensor, places: Tensor, following: Tensor, inputs: TeacherInputs) -> Tensor:
        """[B, C, t, h, w] what the student should estimate for ``noisy`` at the positions ``places``."""


class ConsistencyTeacherTask(FewStepTeacherTask):
    """The student says at every level what it says one step of the frozen network nearer to the data.

    The student that is asked there is a copy with the present weights, made anew in every step.
    """

    def _first_model(self) -> Teacher:
        """As of `FewStepTeacherTask`, meant for one step."""
        model = super()._first_model()
        model.config = replace(model.config, steps=1)
        self.present, self.ask_present = self._copy(model)
        return model

    def _draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Half of the positions are among the highest quarter."""
        places = draw_high(count, LEVELS, self.device)
        return places, places + 1

    def _target(self, noisy: Tensor, places: Tensor, following: Tensor, inputs: TeacherInputs) -> Tensor:
        levels = self.schedule_levels
        torch._foreach_copy_(list(self.present.parameters()), [weight.detach() for weight in self.model.parameters()])
        frozen, present = told(self.ask_frozen, inputs), told(self.ask_present, inputs)
        return consistency_target(frozen, present, noisy, levels[places], levels[following], levels[-2])


class ProgressiveTeacherTask(FewStepTeacherTask):
    """In each phase one step of the student lands where two steps of the reference land.

    The phases split the run equally: from 16 steps to 8, to 4, to 2, to 1. The reference of the first is the network
    that training started from, that of a later one the student (not its average) as the phase found it. It lies in the
    folder of the run, from where a resumed run reads it; where it is missing, or of another phase because the length of
    the run has changed, the student as it then is becomes the reference.
    """

    def __init__(self, options: TrainOptions, device: torch.device, step: int = 0) -> None:
        super().__init__(options, device, step)
        self.begun = False
        self._enter(0)
        if options.resume:
            self._read_reference()

    def stage(self, progress: float) -> str:
        """The phase, by its steps before and after."""
        steps = PHASES[phase_at(progress)]
        return f"{steps}-to-{steps // 2}"

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float | Tensor]]:
        """As of `TeacherTask`; a phase that begins takes the student for its reference."""
        phase = phase_at(progress)
        if phase != self.phase or not self.begun:
            self.begun = True
            self.frozen.load_state_dict(self.model.state_dict())
            self._enter(phase)
            if rank_and_size()[0] == 0:
                self._write_reference()
        return super().loss(step, progress)

    def _enter(self, phase: int) -> None:
        """Go on in a phase; pictures, and whoever loads the network, take as many steps as it is about."""
        self.phase = phase
        self.model.config = replace(self.model.config, steps=PHASES[phase] // 2)

    def _stride(self) -> int:
        """Levels of the finest schedule in one step of the reference."""
        return LEVELS // PHASES[self.phase]

    def _draw(self, count: int) -> tuple[Tensor, Tensor]:
        """The student's levels are drawn alike."""
        step = 2 * self._stride()
        places = step * torch.randint(LEVELS // step, (count,), device=self.device)
        return places, places + step

    def _target(self, noisy: Tensor, places: Tensor, following: Tensor, inputs: TeacherInputs) -> Tensor:
        levels = self.schedule_levels
        between = levels[places + self._stride()]
        return progressive_target(told(self.ask_frozen, inputs), noisy, levels[places], between, levels[following])

    def _write_reference(self) -> None:
        """Keep the reference for a resumed run."""
        with replacing(self.options.out / REFERENCE, "reference") as part:
            torch.save({"phase": self.phase, "network": self.frozen.state_dict()}, part)

    def _read_reference(self) -> None:
        """Take the reference that the run has left, if there is one that can be read."""
        try:
            state = torch.load(self.options.out / REFERENCE, map_location="cpu", weights_only=True)
            self.frozen.load_state_dict(state["network"])
            self._enter(int(state["phase"]))
        except UNREADABLE:
            return
        self.begun = True


def phase_at(progress: float) -> int:
    """Number of the phase at ``progress`` (0 to 1) of the run."""
    return min(int(progress * len(PHASES)), len(PHASES) - 1)


def told(denoise: Denoise, inputs: TeacherInputs) -> Denoiser:
    """The denoiser that a teacher becomes when it is told ``inputs``."""
    return lambda x, sigma: denoise(x, sigma, inputs)
