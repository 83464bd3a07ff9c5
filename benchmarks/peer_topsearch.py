"""topsearch's hybrid eigenvector following on XOR: run by `saddles.py` with a Python of its own.

    python peer_topsearch.py starts.npz found.npz

reads starts `[search, parameter]` and writes the saddles `[saddle, parameter]` that were found and the seconds that it
took, those for the minima on both sides among them.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from topsearch.data.coordinates import StandardCoordinates
from topsearch.potentials.potential import Potential
from topsearch.transition_states.hybrid_eigenvector_following import HybridEigenvectorFollowing

INPUTS = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]])
TARGETS = np.array([0.0, 1.0, 1.0, 0.0])
PENALTY = 1e-3
BOX = 12.0  # within which it searches


class Xor(Potential):
    """A 2-2-1 network with logistic units on XOR, penalised; θ as basinet has it."""

    def function(self, position: np.ndarray) -> float:
        return self.function_gradient(position)[0]

    def gradient(self, position: np.ndarray, displacement: float = 0.0) -> np.ndarray:
        return self.function_gradient(position)[1]

    def function_gradient(self, position: np.ndarray) -> tuple[float, np.ndarray]:
        w, b, v, c = position[:4].reshape(2, 2), position[4:6], position[6:8], position[8]
        a = 1 / (1 + np.exp(-(w @ INPUTS + b[:, None])))
        out = 1 / (1 + np.exp(-(v @ a + c)))
        error = out - TARGETS
        delta = error * out * (1 - out) / 4
        back = v[:, None] * delta * a * (1 - a)
        gradient = np.concatenate([(back @ INPUTS.T).ravel(), back.sum(1), a @ delta, [delta.sum()]])
        value = float(0.5 * (error**2).sum() / 4 + 0.5 * PENALTY * position @ position)
        return value, gradient + PENALTY * position


def main() -> None:
    starts = np.load(sys.argv[1], allow_pickle=False)["starts"]
    coordinates = StandardCoordinates(ndim=starts.shape[1], bounds=[(-BOX, BOX)] * starts.shape[1])
    following = HybridEigenvectorFollowing(Xor(), ts_conv_crit=1e-6, ts_steps=200, pushoff=0.1)
    np.random.seed(0)  # noqa: NPY002 (it draws its first eigenvectors from there)
    found = []
    wall, processor = time.perf_counter(), time.process_time()
    for start in starts:
        coordinates.position = start.copy()
        saddle, *_ = following.run(coordinates)
        if saddle is not None:
            found.append(np.array(saddle))
    seconds = [time.perf_counter() - wall, time.process_time() - processor]
    np.savez(sys.argv[2], found=np.array(found).reshape(-1, starts.shape[1]), seconds=seconds)


main()
