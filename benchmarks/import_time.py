"""Time `import hessian` over `import numpy, scipy.sparse.linalg`, in fresh interpreters.

Run as `python -m benchmarks.import_time`; see `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine
from benchmarks.options import positive_int, writable_path
from benchmarks.report import format_header

BASELINE = "import numpy, scipy.sparse.linalg"
IMPORTS = {"baseline": BASELINE, "hessian": f"{BASELINE}, hessian"}
TARGET = 0.2

#: Packages that `import hessian` must leave alone.
UNWANTED = ("matplotlib", "tqdm", "sklearn", "jax", "torch", "autograd")

PROBE = """\
import json, sys, time
begin = time.perf_counter()
{statement}
seconds = time.perf_counter() - begin
unwanted = [name for name in {unwanted!r} if name in sys.modules]
print(json.dumps({{"seconds": seconds, "unwanted": unwanted, "modules": len(sys.modules)}}))
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status: 1 if something fails or an unwanted package is imported."""
    options = make_parser().parse_args(argv)
    try:
        probes: dict[str, list[dict]] = {name: [] for name in IMPORTS}
        for statement in IMPORTS.values():
            _probe(statement)  # writes byte code and fills the file cache
        for done in range(options.rounds):
            # Alternate who goes first.
            for name in list(IMPORTS)[:: 1 if done % 2 else -1]:
                probes[name].append(_probe(IMPORTS[name]))
    except BenchmarkError as error:
        print(f"benchmarks.import_time: error: {error}", file=sys.stderr)
        return 1
    return _report(probes, options.json)


def make_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.import_time",
        description=f"Time `import hessian` over `{BASELINE}`: fresh interpreters, taking turns, medians.",
    )
    parser.add_argument(
        "--rounds", type=positive_int, default=15, metavar="N", help="interpreters per statement (default: 15)"
    )
    parser.add_argument("--json", type=writable_path, metavar="FILE", help="write every raw number to FILE")
    return parser


def _probe(statement: str) -> dict:
    """Run one import in a fresh interpreter and return what it measured."""
    code = PROBE.format(statement=statement, unwanted=UNWANTED)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        raise BenchmarkError(f"`{statement}` fails: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def _report(probes: dict[str, list[dict]], path: Path | None) -> int:
    """Print medians, difference and verdict, write the raw numbers, and return the exit status."""
    seconds = {name: [probe["seconds"] for probe in found] for name, found in probes.items()}
    medians = {name: median(found) for name, found in seconds.items()}
    extra = medians["hessian"] - medians["baseline"]
    modules = {name: found[0]["modules"] for name, found in probes.items()}
    machine = describe_machine()
    print(format_header(machine, {}).rstrip(", "))
    for name, statement in IMPORTS.items():
        low = min(seconds[name])
        print(f"{medians[name]:.3f} s (fastest {low:.3f}, {modules[name]} modules)  {statement}")
    print(f"{extra:.3f} s for hessian itself, target at most {TARGET:g}: {'met' if extra <= TARGET else 'MISSED'}")
    unwanted = probes["hessian"][0]["unwanted"]
    if unwanted:
        print(f"imports what it must not: {', '.join(unwanted)}")
    if path:
        path.write_text(json.dumps({"machine": machine, "seconds": seconds, "unwanted": unwanted}, indent=1) + "\n")
    return 1 if unwanted else 0


if __name__ == "__main__":
    sys.exit(main())
