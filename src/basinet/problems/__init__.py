"""What is to be learned: one file per problem."""

from __future__ import annotations

from basinet.problems.arrays import Arrays
from basinet.problems.chain import Chain
from basinet.problems.digits import Digits
from basinet.problems.gaussian_teacher import GaussianTeacher
from basinet.problems.neuron import Neuron
from basinet.problems.parity import Parity
from basinet.problems.samples import ProblemFamily, Samples, split
from basinet.problems.sine import Sine
from basinet.problems.table import Table
from basinet.problems.teacher import Teacher
from basinet.problems.xor import Xor

PROBLEMS: dict[str, type[ProblemFamily]] = {
    "xor": Xor,
    "parity": Parity,
    "sine": Sine,
    "teacher": Teacher,
    "gaussian_teacher": GaussianTeacher,
    "digits": Digits,
    "neuron": Neuron,
    "chain": Chain,
    "table": Table,
}

__all__ = ["PROBLEMS", "Arrays", "ProblemFamily", "Samples", "split"]
