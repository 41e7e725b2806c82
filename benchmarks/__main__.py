"""The command line of the suite; see `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import sys

from . import load, machine, report, systems
from .runner import Settings, run
from .workload import Workload
from .workloads import all_workloads


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Times Tilewright and its peers on the same fresh inputs, rounds interleaved. Reports ratios.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="workloads or patterns such as 'matmul_*'; default: all"
    )
    parser.add_argument(
        "--peers", nargs="*", metavar="SYSTEM", help=f"default: all installed of {systems.SYSTEMS[1:]}"
    )
    parser.add_argument(
        "--peer-python", metavar="PATH", help="interpreter that has the peers; default: this one"
    )
    parser.add_argument(
        "--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: all available"
    )
    parser.add_argument("--rounds", type=int, default=5, help="clean rounds for each system (default 5)")
    parser.add_argument("--round-seconds", type=float, default=0.5, help="length of a round (default 0.5)")
    parser.add_argument(
        "--foreign-limit", type=float, default=load.LIMIT, metavar="CORES",
        help=f"drop a round in which other processes used more than this (default {load.LIMIT})",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object a line instead of tables")
    parser.add_argument("--output", metavar="FILE", help="append the JSON lines to a file, too")
    parser.add_argument("--list", action="store_true", help="print the names of the workloads and stop")
    parser.add_argument("--verbose", action="store_true", help="show what the workers write to stderr")
    return parser.parse_args(argv)


def _chosen(names: list[str]) -> list[Workload]:
    suite = all_workloads()
    if not names:
        return [suite[name] for name in report.names()]
    chosen = []
    for name in names:
        found = fnmatch.filter(suite, name)
        if not found:
            sys.exit(f"no workload is called {name!r}; `python -m benchmarks --list` prints the names")
        chosen += [suite[one] for one in found if suite[one] not in chosen]
    return chosen


def _systems(arguments: argparse.Namespace) -> list[str]:
    unknown = set(arguments.peers or ()) - set(systems.SYSTEMS)
    if unknown:
        sys.exit(f"unknown system {sorted(unknown)[0]!r}; known: {', '.join(systems.SYSTEMS)}")
    peers = systems.SYSTEMS[1:] if arguments.peers is None else arguments.peers
    if arguments.peers is None and arguments.peer_python is None:
        peers = [peer for peer in peers if systems.installed(peer)]
    return ["tilewright", *(peer for peer in peers if peer != "tilewright")]


def _tell(arguments: argparse.Namespace, lines: list[str], text: str) -> None:
    print("\n".join(lines) if arguments.json else text + "\n", flush=True)
    if arguments.output:
        with open(arguments.output, "a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")


def main(argv: list[str] | None = None) -> int:
    """Run the suite; return 1 if a system that ran gave a wrong result or Tilewright failed."""
    arguments = _arguments(argv)
    if arguments.list:
        print("\n".join(report.names()))
        return 0
    chosen, wanted = _chosen(arguments.names), _systems(arguments)
    pythons = {peer: arguments.peer_python for peer in wanted[1:] if arguments.peer_python}
    settings = Settings(
        threads=arguments.threads, rounds=arguments.rounds, round_s=arguments.round_seconds, pythons=pythons,
        foreign_limit=arguments.foreign_limit, verbose=arguments.verbose,
    )  # fmt: skip
    ceilings = {
        n: machine.measured(n) for n in {arguments.threads, *(w.threads for w in chosen if w.threads)}
    }
    for threads, found in ceilings.items():
        head = {"machine": machine.describe(), "threads": threads, "flops": found.flops, "read": found.read}
        _tell(arguments, [json.dumps(head)], f"ceilings, {threads} threads: {found.describe()}")
    failed = False
    for workload in chosen:
        taking_part = [s for s in wanted if systems.takes_part(workload, s)]
        least_ms = machine.least_ms(ceilings[workload.threads or arguments.threads], workload)
        results = run(workload, taking_part, settings, least_ms)
        ran = [r for r in results if r.error is None and r.not_offered is None]
        failed |= any(not r.correct for r in ran) or results[0].error is not None
        _tell(arguments, list(map(report.json_line, results)), report.table(results))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
