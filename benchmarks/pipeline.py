"""Time and memory of the whole pipeline: what the tables and the logging cost beside the descent."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

from report import replace_section

CASES = {
    "10,000 restarts × 10,000 steps": ["restarts=10000", "descent.steps=10000"],
    "1,000,000 restarts × 200 steps": ["restarts=1000000", "descent.steps=200"],
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
stages = {key: float(run[key]) for key in run.index if key.startswith("seconds/")}
print(json.dumps({"peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, **stages}))
"""


def measure(arguments: list[str]) -> dict[str, float]:
    """Peak memory [GB] and seconds per stage of one XOR condition, run through the console script's `main`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _MEASURED, "problem=xor", "polish=none", *arguments]
        answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(answer.stdout.strip().splitlines()[-1])
    return result


def main() -> None:
    """Measure, print, and rewrite the table in the docs."""
    stages = ("descend", "tables", "logging", "figures", "(tables + logging) / descend", "peak memory")
    lines = [" | ".join(["XOR 2-2-1, float64, not polished", *stages])]
    lines.append(" | ".join(["---"] * 7))
    print("\n".join(lines), flush=True)
    for name, arguments in CASES.items():
        result = measure(arguments)
        seconds = [result[f"seconds/{stage}"] for stage in ("descend", "tables", "logging", "figures")]
        share = (seconds[1] + seconds[2]) / seconds[0]
        cells = [*(f"{value:.2f} s" for value in seconds), f"{share:.1%}", f"{result['peak_gb']:.2f} GB"]
        lines.append(" | ".join([name, *cells]))
        print(lines[-1], flush=True)
    replace_section("pipeline", lines)


if __name__ == "__main__":
    main()
