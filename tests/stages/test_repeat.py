from __future__ import annotations

from dataclasses import replace

import torch

from basinet.stages.newton import Outcome
from basinet.stages.polish import Polished
from basinet.stages.repeat import elsewhere


def ended(*places: float, outcomes: list[Outcome]) -> Polished:
    theta = torch.tensor(places, dtype=torch.float64).unsqueeze(1)
    zero = torch.zeros(len(places), dtype=torch.float64)
    outcome = torch.tensor([int(one) for one in outcomes], dtype=torch.int8)
    return Polished(theta, zero, zero, outcome, zero, zero, zero.bool(), zero, zero)


def test_a_restart_is_elsewhere_if_it_rests_both_times_and_at_two_points() -> None:
    rests, stalled = Outcome.CONVERGED, Outcome.STALLED
    first = ended(1.0, 1.0, 1.0, 1.0, outcomes=[rests, rests, stalled, rests])
    second = ended(1.0 + 1e-9, 1.1, 1.1, 1.1, outcomes=[rests, rests, rests, stalled])
    assert elsewhere(first, second).tolist() == [False, True, False, False]
    assert not elsewhere(first, replace(second, theta=first.theta)).any()
