"""Time and memory of the whole pipeline, stage by stage: what verdicts, tables and logging cost beside the descent."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

from report import replace_section

STAGES = ("descend", "polish", "certify", "blocks", "merge", "tables", "logging", "figures")
CASES = {
    "10,000 × 10,000, not polished": ["restarts=10000", "descent.steps=10000", "polish=none"],
    "the same with the torch engine": ["restarts=10000", "descent.steps=10000", "polish=none", "engine=torch"],
    "1,000,000 × 200, not polished": ["restarts=1000000", "descent.steps=200", "polish=none"],
    "1,000,000 × 20 with the torch engine": ["restarts=1000000", "descent.steps=20", "polish=none", "engine=torch"],
    "1,000,000 × 10,000, polished": ["restarts=1000000", "descent.steps=10000"],
}
_MEASURED = """
import json, resource, sys
from basinet.cli.main import main
sys.argv = ["basinet", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
import basinet
run = basinet.load_runs("basinet").iloc[0]
stages = {key.removeprefix("seconds/"): float(run[key]) for key in run.index if key.startswith("seconds/")}
print(json.dumps({"peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, **stages}))
"""


def measure(arguments: list[str]) -> dict[str, float]:
    """Peak memory [GB] and seconds per stage of one XOR condition, run through the console script's `main`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _MEASURED, "problem=xor", *arguments]
        answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(answer.stdout.strip().splitlines()[-1])
    return result


def main() -> None:
    """Measure, print, and rewrite the table in the docs."""
    headings = ["XOR 2-2-1, float64: restarts × steps", *STAGES, "all", "peak memory"]
    lines = [" | ".join(headings), " | ".join(["---"] * len(headings))]
    print("\n".join(lines), flush=True)
    for name, arguments in CASES.items():
        result = measure(arguments)
        total = sum(result[stage] for stage in STAGES)
        cells = [f"{result[stage]:.2f} s ({result[stage] / total:.0%})" for stage in STAGES]
        lines.append(" | ".join([name, *cells, f"{total:.1f} s", f"{result['peak_gb']:.2f} GB"]))
        print(lines[-1], flush=True)
    replace_section("pipeline", lines)


if __name__ == "__main__":
    main()
