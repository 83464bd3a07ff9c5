"""`proofs.json`: what was proved, in exact numbers, for whoever wants to check it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import flint

import basinet
from basinet.proofs.statement import Statement, digest, hexadecimals
from basinet.proofs.theorem import Verdict

FORMAT = "basinet proofs 1"
"""The first line of every such file; `basinet.proofs.check` reads it."""


def document(statement: Statement, found: Sequence[Verdict], about: Mapping[str, str]) -> str:
    """The text of `proofs.json`; docs/proofs.md says what stands in it.

    Args:
        statement: what is minimised.
        found: the verdicts.
        about: what else is to be said, such as the run that it is about.
    """
    problem = hexadecimals(statement)
    head = {"format": FORMAT, "made_by": f"basinet {basinet.__version__}, python-flint {flint.__version__}", **about}
    content = {**head, "sha256": digest(problem), "problem": problem, "points": [_entry(verdict) for verdict in found]}
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {_lines(value)}" for key, value in content.items()) + "\n}\n"


def _entry(verdict: Verdict) -> dict[str, Any]:
    point, proof = verdict.point, verdict.proof
    head = {"id": point.id, "kind": point.kind, "verdict": "proved" if verdict.proved else "refused"}
    if proof is None or not verdict.proved:
        return {**head, "reason": verdict.reason}
    box = {"radius": float(proof.radius).hex(), "centre": [float(entry).hex() for entry in proof.centre]}
    return {**head, "index": proof.index, "precision": proof.precision, "held": list(proof.held), **box}


def _lines(value: Any) -> str:
    """JSON with a line for each point: to be read, and compared line by line."""
    if isinstance(value, list):
        return "[\n" + ",\n".join(json.dumps(entry) for entry in value) + "\n]"
    return json.dumps(value)
