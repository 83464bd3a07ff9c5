"""Checks `proofs.json` from the definitions, with python-flint and nothing of basinet.

Of a point that is said to be proved, the gradient g(y) at the centre y and the Hessian H(X) over the box X are taken,
on balls, which hold all that rounding can do. If y - C g(y) + (I - C H(X)) (X - y) lies inside X, there is exactly one
critical point in X (Krawczyk); its index is the number of changes of sign among the leading minors of H(X) (Jacobi).
Symmetries leave a network's answers as they are: boxes with different answers hold no copies of one point.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

from flint import arb, arb_mat, ctx

Problem = dict[str, Any]
number = float.fromhex  # the exact one that is written


def demand(condition: bool, message: str) -> None:
    if not condition:
        raise ArithmeticError(message)


@dataclass(frozen=True)
class Jet:
    value: arb
    gradient: arb_mat  # a row: with respect to all parameters
    hessian: arb_mat

    def __add__(self, other: Any) -> Jet:
        if not isinstance(other, Jet):
            return Jet(self.value + other, self.gradient, self.hessian)
        return Jet(self.value + other.value, self.gradient + other.gradient, self.hessian + other.hessian)

    def __mul__(self, other: Any) -> Jet:
        if not isinstance(other, Jet):
            return Jet(self.value * other, self.gradient * other, self.hessian * other)
        return chain(self.value * other.value, [other.value, self.value], [[0, 1], [1, 0]], [self, other])


def chain(value: arb, first: list[arb], second: list[list[Any]], inner: list[Jet]) -> Jet:
    """g of some jets, given g and its first and second derivatives at their values."""
    result = inner[0] * 0 + value
    for u, slope, row in zip(inner, first, second, strict=True):
        result += Jet(arb(0), u.gradient * slope, u.hessian * slope)
        for v, curvature in zip(inner, row, strict=True):
            result += Jet(arb(0), u.gradient * 0, u.gradient.transpose() * v.gradient * curvature)
    return result


def apply(name: str, u: Jet) -> Jet:
    """A function of one number: an activation, or what losses are made of."""
    z, a, tanh, moves = (
        u.value,
        1 / (1 + (-u.value).exp()),
        u.value.tanh(),
        not all(x.is_zero() for x in u.gradient.entries()),
    )
    below, density = (1 + (z / arb(2).sqrt()).erf()) / 2, (-z * z / 2).exp() / (2 * arb.pi()).sqrt()  # normal law
    demand(name != "relu" or z > 0 or z < 0 or not moves, "a ReLU unit may change its sign within the box")
    value, slope, curvature = dict[str, Any](
        identity=lambda: (z, arb(1), 0),
        relu=lambda: (z.max(0), arb(z > 0), 0),
        logistic=lambda: (a, a * (1 - a), a * (1 - a) * (1 - 2 * a)),
        softplus=lambda: (z.exp().log1p(), a, a * (1 - a)),
        tanh=lambda: (tanh, 1 - tanh * tanh, -2 * tanh * (1 - tanh * tanh)),
        erf=lambda: (2 * below - 1, 2 * density, -2 * z * density),
        gelu=lambda: (z * below, below + z * density, density * (2 - z * z)),
        exp=lambda: (z.exp(), z.exp(), z.exp()),
        log=lambda: (z.log(), 1 / z, -1 / (z * z)),
        rsqrt=lambda: (z.rsqrt(), -z.rsqrt() / (2 * z), 3 * z.rsqrt() / (4 * z * z)),
        atan=lambda: (z.atan(), 1 / (1 + z * z), -2 * z / ((1 + z * z) * (1 + z * z))),
    )[name]()
    return chain(value, [slope], [[curvature]], [u])


def layers(problem: Problem, theta: Any) -> list[list[list[Any]]]:
    """The rows of every layer, each with its bias: parameters lie layer by layer, the weights, then the biases."""
    result, start, bias = [], 0, int(problem["bias"])
    for i, o in pairwise(problem["widths"]):
        biases = theta[start + o * i : start + o * (i + bias)]
        result.append([[*theta[start + k * i : start + k * i + i], *biases[k : k + 1]] for k in range(o)])
        start += o * (i + bias)
    demand(start == len(theta), f"there are {start} parameters, but {len(theta)} numbers")
    return result


def answers(problem: Problem, theta: list[Jet], x: list[float]) -> list[Jet]:
    """What the network answers to an input, before the softmax; of a committee whose output weights are 1, the sum."""
    a: list[Any] = x
    for depth, rows in enumerate(layers(problem, theta), start=2):
        name = problem["activation"] if depth < len(problem["widths"]) else problem["output"]
        products = [[w * s for w, s in zip(row, a, strict=False) if s != 0] + row[len(a) :] for row in rows]
        a = [apply(name, sum(terms, theta[0] * 0)) for terms in products]
    return [sum(a, theta[0] * 0)] if problem["loss"] == "population" and depth == 2 else a


def risk(problem: Problem, theta: list[Jet]) -> Jet:
    """(1/N) Σ ℓ(a_L(x_i), y_i) + ½ l2_weights ‖W‖² + ½ l2_biases ‖b‖²."""
    nothing, count, terms, crossed = theta[0] * 0, len(problem["inputs"]), [], problem["loss"] == "cross_entropy"
    for x, y in zip(problem["inputs"], problem["targets"], strict=True):
        pairs = list(zip(answers(problem, theta, [*map(number, x)]), map(number, y), strict=True))
        log = apply("log", sum((apply("exp", z) for z, _ in pairs), nothing)) if crossed else nothing
        terms += [(log + z * -1) * 2 * t if crossed else (z + -t) * (z + -t) for z, t in pairs]
    for width, rows in zip(problem["widths"], layers(problem, theta), strict=False):
        l2 = [number(problem["l2_weights"])] * width + [number(problem["l2_biases"])]
        terms += [w * w * coefficient * count for row in rows for w, coefficient in zip(row, l2, strict=False)]
    return sum(terms, nothing) * (1 / arb(2 * count))


def population(problem: Problem, theta: list[Jet]) -> Jet:
    """½ Σ over pairs of units of c_i c_j E[φ(u_i·x) φ(u_j·x)] + ½ l2_weights ‖θ‖², with c = -1 of the teacher's."""
    nothing, (units, *outputs) = theta[0] * 0, layers(problem, theta)
    c = [*(outputs[0][0] if outputs else [nothing + 1] * len(units)), *[nothing + -1] * len(problem["teacher"])]
    units += [[nothing + number(x) for x in row] for row in problem["teacher"]]
    name, terms = problem["activation"], [x * x * number(problem["l2_weights"]) for x in theta]
    for i, u in enumerate(units):
        terms += [c[i] * c[j] * pair(name, u, v) * (2 - (i == j)) for j, v in enumerate(units[: i + 1])]
    return sum(terms, nothing) * 0.5


def pair(name: str, u: list[Jet], v: list[Jet]) -> Jet:
    """E[φ(u·x) φ(v·x)] (Saad & Solla, 1995; Cho & Saul, 2009), with c = u·v = |u||v| cos t."""
    a, b, c = (sum(map(Jet.__mul__, p, q), u[0] * 0) for p, q in ((u, u), (v, v), (u, v)))
    square = (a + (name == "erf")) * (b + (name == "erf")) + c * c * -1
    if name == "relu" and u is v:
        return c * 0.5
    if square.value > 0:
        angle = apply("atan", c * apply("rsqrt", square))  # π/2 - t; of erf, the arc sine
        relu = (square * apply("rsqrt", square) + c * (angle + arb.pi() / 2)) * (0.5 / arb.pi())
        return relu if name == "relu" else angle * (2 / arb.pi())
    A, B, C = a.value, b.value, c.value
    # Of ReLU units that may be parallel: c/2 (t = 0) or 0 (t = π), and a rest with second derivatives of the size of t.
    demand(name == "relu" and A > 0 and B > 0 and (C > 0 or C < 0), "a ReLU unit cannot be told from zero")
    lengths, product = [A.sqrt()] * len(u) + [B.sqrt()] * len(v), (A * B).sqrt()
    t = arb.atan2(square.value.upper().sqrt(), abs(C)) * arb(0, 1)  # ± the angle from being parallel, at most
    second = [[t * product / (p * q) for q in lengths] for p in lengths]  # at most t/π, and |v|/|u| t/π for one unit
    return chain(t * product, [t * product / p for p in lengths], second, [*u, *v]) + c * (0.5 * (C > 0))


def check_held(problem: Problem, centre: list[arb], held: list[int]) -> None:
    """Held fast is one parameter that is moved by each: scales of ReLU units, shifts that a softmax does not see."""
    *hidden, last = layers(problem, range(len(centre)))
    weights, biases = (number(problem.get(key, "0x0p0")) == 0 for key in ("l2_weights", "l2_biases"))
    scales = problem["activation"] == "relu" and weights and (biases or not problem["bias"])
    expected = [{i for i in row if centre[i] != 0} for rows in hidden for row in rows if scales]
    if problem["loss"] == "cross_entropy":
        expected += [{i} for k, i in enumerate(last[0]) if (weights if k < problem["widths"][-2] else biases)]
    demand([len(one & {*held}) for one in expected] == [1] * len(held), "not one parameter is held for each symmetry")


def check_point(problem: Problem, point: Problem) -> list[arb]:
    """The box of a point, if it holds exactly one critical point, of the index that is said; or an error."""
    centre, held, radius = [arb(number(x)) for x in point["centre"]], point["held"], arb(number(point["radius"]))
    check_held(problem, centre, held)
    size, free = len(centre), [i for i in range(len(centre)) if i not in held]
    box = [x if i in held else x + arb(0, radius) for i, x in enumerate(centre)]
    f, e, flat = population if "teacher" in problem else risk, arb_mat(size, size, 1).tolist(), arb_mat(size, size)
    at, over = (f(problem, [Jet(x, arb_mat([e[i]]), flat) for i, x in enumerate(xs)]) for xs in (centre, box))
    hessian = arb_mat([[over.hessian[i, j] for j in free] for i in free])
    inverse = hessian.mid().inv().mid()
    step, product = inverse * arb_mat([[at.gradient[0, i]] for i in free]), inverse * hessian
    for i, row in enumerate((product - arb_mat(len(free), len(free), 1)).tolist()):
        demand(abs(step[i, 0]) + sum(map(abs, row)) * radius < radius, "the box is not mapped into itself")
    minors = [arb(1), *(arb_mat([row[:k] for row in hessian.tolist()[:k]]).det() for k in range(1, len(free) + 1))]
    demand(all(x > 0 or x < 0 for x in minors), "the signs of the Hessian's eigenvalues cannot be told")
    index = sum(bool(x * y < 0) for x, y in pairwise(minors))
    demand(index == point["index"] and (index > 0) == (point["kind"] == "saddle"), f"its index is {index}")
    return box


def features(problem: Problem, box: list[arb]) -> list[arb]:
    """What the network answers over a box, to some inputs and the samples; under a softmax beside the first output."""
    theta, width = [Jet(x, arb_mat(1, 0), arb_mat(0, 0)) for x in box], problem["widths"][0]
    inputs = [[((7 * k + 5 * j * k + 3 * j * j) % 17 - 8) / 4 for j in range(width)] for k in range(1, 9)]
    inputs += [[*map(number, x)] for x in problem.get("inputs", [])]
    read = [[one.value for one in answers(problem, theta, x)] for x in inputs]
    return [one - a[0] * (problem["loss"] == "cross_entropy") for a in read for one in a]


def check(text: str) -> tuple[dict[str, int], list[str]]:
    """How many points of each kind are proved and distinct modulo symmetry; and what does not hold."""
    content = json.loads(text)
    problem, kept, wrong = content["problem"], list[tuple[Any, list[arb]]](), list[str]()
    if content["sha256"] != hashlib.sha256(json.dumps(problem, sort_keys=True).encode()).hexdigest():
        wrong.append("the problem is not the one that the proofs were made for")
    for point in (point for point in content["points"] if point["verdict"] == "proved"):
        try:
            with ctx.workprec(2 * point["precision"] + 64):
                kept.append((point, [*features(problem, check_point(problem, point))]))
        except ArithmeticError as error:
            wrong.append(f"{point['kind']} {point['id']}: {error}")
    for (point, a), (other, b) in combinations(kept, 2):
        if point["kind"] == other["kind"] and all(map(arb.overlaps, a, b)):
            wrong.append(f"{point['kind']} {other['id']} may be a copy of {point['kind']} {point['id']}")
    return {kind: sum(point["kind"] == kind for point, _ in kept) for kind in ("minimum", "saddle")}, wrong
