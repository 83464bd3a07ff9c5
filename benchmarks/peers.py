"""Time one gradient step, or one exact Hessian, of many restarts on the tools a user would otherwise pick. See docs/performance.md."""

import argparse
import json
import math
import time

import torch

WORKLOADS = {
    "xor": dict(restarts=8192, widths=[2, 2, 1], samples=4, steps=200),
    "chain": dict(restarts=4096, widths=[1] * 11, samples=64, steps=20),
    "small": dict(restarts=1024, widths=[2, 8, 8, 8, 1], samples=128, steps=20),
    "medium": dict(restarts=128, widths=[16, 64, 64, 64, 64, 4], samples=512, steps=5),
}


def flops(restarts, widths, samples, **_):
    """Multiply-adds of forward, weight gradient and back-propagated delta, counted as 2 each."""
    return restarts * samples * sum(6 * i * o for i, o in zip(widths, widths[1:]))


def data(restarts, widths, samples, dtype, **_):
    g = torch.Generator().manual_seed(0)
    weights = [torch.randn(restarts, o, i, generator=g, dtype=dtype) / math.sqrt(i) for i, o in zip(widths, widths[1:])]
    biases = [torch.zeros(restarts, o, 1, dtype=dtype) for o in widths[1:]]
    x = torch.randn(widths[0], samples, generator=g, dtype=dtype)
    y = torch.rand(widths[-1], samples, generator=g, dtype=dtype)
    return weights, biases, x, y


def best_of(run, steps, repeats=4):
    run(max(steps // 10, 2))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run(steps)
        times.append((time.perf_counter() - start) / steps)
    return min(times)


def autograd_loop(w, dtype):
    weights, _, x, y = data(**{**w, "restarts": 1}, dtype=dtype)
    layers = []
    for i, o in zip(w["widths"], w["widths"][1:]):
        layers += [torch.nn.Linear(i, o, dtype=dtype), torch.nn.Sigmoid()]
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = x.T.contiguous(), y.T.contiguous()

    def run(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            (0.5 * (model(x) - y).square().sum(1).mean()).backward()
            optimizer.step()

    return best_of(run, w["steps"]) * w["restarts"]


def torch_func_vmap(w, dtype):
    weights, biases, x, y = data(**w, dtype=dtype)

    def loss(parameters):
        a = x
        for weight, bias in parameters:
            a = torch.sigmoid(weight @ a + bias)
        return 0.5 * (a - y).square().sum(0).mean()

    gradient = torch.func.vmap(torch.func.grad_and_value(loss))
    state = {"p": list(zip(weights, biases))}

    def run(steps):
        for _ in range(steps):
            grads, _ = gradient(state["p"])
            state["p"] = [(v - 0.1 * gv, b - 0.1 * gb) for (v, b), (gv, gb) in zip(state["p"], grads)]

    return best_of(run, w["steps"])


def batched_manual(w, dtype):
    weights, biases, x, y = data(**w, dtype=dtype)
    n = x.shape[1]

    def step():
        acts = [x.expand(w["restarts"], -1, -1)]
        for weight, bias in zip(weights, biases):
            acts.append(torch.sigmoid(torch.baddbmm(bias, weight, acts[-1])))
        g = (acts[-1] - y) / n
        for layer in reversed(range(len(weights))):
            delta = g * acts[layer + 1] * (1 - acts[layer + 1])
            g = torch.bmm(weights[layer].transpose(1, 2), delta)
            weights[layer].baddbmm_(delta, acts[layer].transpose(1, 2), alpha=-0.1)
            biases[layer].sub_(delta.sum(-1, keepdim=True), alpha=0.1)

    return best_of(lambda steps: [step() for _ in range(steps)], w["steps"])


def jax_vmap(w, dtype):
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", dtype == torch.float64)
    weights, biases, x, y = data(**w, dtype=dtype)
    parameters = [(jnp.array(v.numpy()), jnp.array(b.numpy())) for v, b in zip(weights, biases)]
    x, y = jnp.array(x.numpy()), jnp.array(y.numpy())

    def loss(p):
        a = x
        for weight, bias in p:
            a = jax.nn.sigmoid(weight @ a + bias)
        return 0.5 * ((a - y) ** 2).sum(0).mean()

    gradient = jax.vmap(jax.value_and_grad(loss))
    length = w["steps"]

    @jax.jit
    def many(p):
        def body(p, _):
            value, grads = gradient(p)
            return jax.tree.map(lambda v, g: v - 0.1 * g, p, grads), value.mean()

        return jax.lax.scan(body, p, None, length=length)

    state = {"p": parameters}

    def run(_):
        state["p"], losses = many(state["p"])
        losses.block_until_ready()

    run(0)
    return best_of(run, length)


def flat_loss(w, x, y, sigmoid, square_mean):
    """The same loss as a function of one flat parameter vector, in torch or in JAX."""
    widths = w["widths"]

    def loss(theta):
        a, k = x, 0
        for i, o in zip(widths, widths[1:]):
            a = sigmoid(theta[k : k + i * o].reshape(o, i) @ a + theta[k + i * o : k + i * o + o].reshape(o, 1))
            k += i * o + o
        return 0.5 * square_mean(a - y)

    return loss


def parameters(w):
    return sum((i + 1) * o for i, o in zip(w["widths"], w["widths"][1:]))


def torch_hessian(w, dtype):
    _, _, x, y = data(**w, dtype=dtype)
    theta = torch.randn(w["restarts"], parameters(w), dtype=dtype)
    hessian = torch.func.vmap(torch.func.hessian(flat_loss(w, x, y, torch.sigmoid, lambda e: e.square().sum(0).mean())))
    return best_of(lambda steps: [hessian(theta) for _ in range(steps)], 2, repeats=3)


def jax_hessian(w, dtype):
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", dtype == torch.float64)
    _, _, x, y = data(**w, dtype=dtype)
    x, y = jnp.array(x.numpy()), jnp.array(y.numpy())
    theta = jnp.array(torch.randn(w["restarts"], parameters(w), dtype=dtype).numpy())
    hessian = jax.jit(jax.vmap(jax.hessian(flat_loss(w, x, y, jax.nn.sigmoid, lambda e: (e**2).sum(0).mean()))))
    return best_of(lambda steps: [hessian(theta).block_until_ready() for _ in range(steps)], 2, repeats=3)


def matmul_limit(dtype):
    a, b = torch.randn(2048, 2048, dtype=dtype), torch.randn(2048, 2048, dtype=dtype)
    return 2 * 2048**3 / best_of(lambda steps: [a @ b for _ in range(steps)], 3) / 1e9


HESSIAN_RESTARTS = {"xor": 8192, "chain": 512, "small": 64}
HESSIAN_PEERS = {"torch.func vmap hessian": torch_hessian, "jax vmap hessian": jax_hessian}
PEERS = {"autograd loop": autograd_loop, "torch.func vmap": torch_func_vmap, "batched manual torch": batched_manual, "jax": jax_vmap}


def time_hessians(args):
    for name, restarts in HESSIAN_RESTARTS.items():
        w = {**WORKLOADS[name], "restarts": restarts}
        for peer, measure in HESSIAN_PEERS.items():
            try:
                seconds = measure(w, getattr(torch, args.dtype))
            except ImportError as error:
                print(json.dumps({"workload": name, "peer": peer, "skipped": str(error)}), flush=True)
                continue
            print(json.dumps({"workload": name, "peer": peer, "restarts": restarts, "ms_per_batch": round(seconds * 1e3, 3), "hessians_per_s": round(restarts / seconds), "dtype": args.dtype}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS))
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--peers", nargs="*", default=list(PEERS))
    parser.add_argument("--hessian", action="store_true", help="time exact Hessians instead of gradient steps (use float64)")
    args = parser.parse_args()
    if args.hessian:
        return time_hessians(args)
    dtype = getattr(torch, args.dtype)
    print(json.dumps({"limit": "matmul", "gflops": round(matmul_limit(dtype), 1), "dtype": args.dtype}), flush=True)
    for name in args.workloads:
        w = WORKLOADS[name]
        for peer in args.peers:
            try:
                seconds = PEERS[peer](w, dtype)
            except ImportError as error:
                print(json.dumps({"workload": name, "peer": peer, "skipped": str(error)}), flush=True)
                continue
            print(json.dumps({"workload": name, "peer": peer, "ms_per_step": round(seconds * 1e3, 4), "restart_steps_per_s": round(w["restarts"] / seconds), "gflops": round(flops(**w) / seconds / 1e9, 2), "dtype": args.dtype}), flush=True)


if __name__ == "__main__":
    main()
