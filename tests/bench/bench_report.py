# Copyright: the vcompare contributors
# GPL-3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long statistics and reports take, and what memory: a quick run, and a million samples.

Prints figures and judges none. A number as argument replaces the million. The bundle is written to
the temporary folder first (about 450 bytes a sample) and removed at the end.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "unit" / "runner")]

import numpy as np  # noqa: E402
from synthetic import METRICS, RATIOS, Synthetic  # noqa: E402

BLOCKS = 20


def write_large(folder: Path, samples: int) -> tuple[Path, int]:
    """Write a bundle of about so many samples; return its folder, and how many there are."""
    small = Synthetic(blocks=BLOCKS, iterations=1)
    root = small.write(folder)
    arms, scenarios = small.arms, [name for name in small.scenarios if name != "startup"]
    iterations = max(1, round(samples / (BLOCKS * len(arms) * len(scenarios))))
    rng = np.random.default_rng(1)
    count = 0
    with (root / "samples.jsonl").open("w") as file:
        for block in range(1, BLOCKS + 1):
            for order, arm in enumerate(arms, start=1):
                for scenario in scenarios:
                    middle = METRICS[scenario][3] * RATIOS[scenario].get(arm, 1.0)
                    values = middle * np.exp(rng.normal(0, 0.02, iterations))
                    # One record gives the shape of the line, which is all but its value the same.
                    record = small.sample(block, order, arm, scenario, 1, 0.0)
                    head, _middle, tail = json.dumps(record).partition('"value": 0.0')
                    head += '"value": '
                    tail, _cut, rest = tail.partition('"iteration": 1,')
                    for number, value in enumerate(values.tolist(), start=1):
                        file.write(f'{head}{value!r}{tail}"iteration": {number},{rest}\n')
                    count += iterations
    return root, count


def measure(root: Path) -> None:
    """Print the times of loading, analysing and reporting a bundle, and the most memory used."""
    begin = time.perf_counter()
    from vcompare_runner.analysis.statistics import analyse, find_remarks
    from vcompare_runner.bundle.read import load_bundle
    from vcompare_runner.report import write_report

    imported = time.perf_counter()
    bundle = load_bundle(root)
    loaded = time.perf_counter()
    figures = analyse(bundle)
    analysed = time.perf_counter()
    find_remarks(bundle, figures)
    looked = time.perf_counter()
    count = len(bundle.samples)
    del bundle
    report, report_cpu = time.perf_counter(), time.process_time()
    write_report(root)
    reported, reported_cpu = time.perf_counter(), time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  samples: {count:,}, scenarios: {len(figures)}")
    print(f"  imports: {imported - begin:.2f} s")
    print(f"  loading: {loaded - imported:.2f} s")
    print(f"  statistics: {analysed - loaded:.3f} s")
    print(f"  flags: {looked - analysed:.3f} s")
    print(
        f"  whole report (load, statistics, files): {reported - report:.2f} s, "
        f"of which on a CPU {reported_cpu - report_cpu:.2f} s"
    )
    print(f"  memory at most: {peak:.0f} MiB")


def main() -> None:
    """Print the figures."""
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]))
        return
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory(prefix="vcompare-bench.") as folder:
        quick = Synthetic(blocks=5).write(Path(folder) / "quick")
        large, _count = write_large(Path(folder) / "large", samples)
        for name, root in (("quick run", quick), ("large run", large)):
            print(f"{name}:", flush=True)
            # In a process of its own: the most memory that was used is counted for a whole process.
            subprocess.run(
                [sys.executable, __file__, "--measure", str(root)], check=True, env=os.environ
            )


if __name__ == "__main__":
    main()
