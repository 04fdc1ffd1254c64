"""Exponential moving average of the weights: what is evaluated and shipped."""

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


class WeightAverage:
    """A float32 shadow of a module's parameters, whose memory grows from a tenth of the steps up to ``decay``.

    Of a sharded network each process keeps the shadow of its own shard.
    """

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.names = [name for name, _ in module.named_parameters()]
        self.shadow = [parameter.detach().float().clone() for parameter in module.parameters()]

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move the shadow towards the weights after optimiser step ``step`` (counted from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        shadow = [_own_part(average) for average in self.shadow]
        torch._foreach_lerp_(shadow, [_own_part(p.detach()).float() for p in module.parameters()], 1 - decay)

    @torch.no_grad()
    def swap(self, module: nn.Module) -> None:
        """Exchange the shadow and the weights; call it twice to get back."""
        for parameter, average in zip(module.parameters(), self.shadow, strict=True):
            own, shadow = _own_part(parameter.detach()), _own_part(average)
            held = own.clone()
            own.copy_(shadow)
            shadow.copy_(held)

    def state_dict(self) -> dict[str, Tensor]:
        """Shadow tensors by parameter name."""
        return dict(zip(self.names, self.shadow, strict=True))

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take the shadow of an earlier run.

        Raises:
            KeyError: a parameter is missing.
        """
        for name, tensor in zip(self.names, self.shadow, strict=True):
            tensor.copy_(state[name])


def _own_part(tensor: Tensor) -> Tensor:
    """The part of a sharded tensor that lies here, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
