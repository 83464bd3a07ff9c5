"""What a proof asks of a function: its value and derivatives, each as balls that hold them over a whole box."""

from __future__ import annotations

from typing import Protocol

from flint import arb, arb_mat

from basinet.proofs.balls import Vector


class Smooth(Protocol):
    """A function of `size` parameters that can be evaluated over boxes; twice differentiable wherever it answers."""

    @property
    def size(self) -> int:
        """Number of parameters."""
        ...

    def value(self, theta: Vector) -> arb:
        """A ball that holds f(θ') for every θ' in the box `theta [parameter]`."""
        ...

    def gradient(self, theta: Vector) -> Vector:
        """The same for ∂f/∂θ, `[parameter]`.

        Raises:
            Kinked: if f may have a kink in the box.
        """
        ...

    def hessian(self, theta: Vector) -> arb_mat:
        """The same for the Hessian, `[parameter, parameter]`; errors as for `gradient`."""
        ...

    def answers(self, theta: Vector) -> Vector:
        """The same for some numbers that no symmetry of f changes: where these differ, points are no copies."""
        ...
