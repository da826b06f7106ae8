"""The results as the tables of RESULTS.md."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lab import HERE


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), "?")  # fmt: skip
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False
    )
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    return {
        "cpu": cpu, "cores": os.cpu_count(), "memory_gib": round(memory, 1), "kernel": platform.release(),
        "python": platform.python_version(), "node": node.stdout.strip(), "commit": commit.stdout.strip(),
    }  # fmt: skip


def render(results: Mapping[str, Any]) -> str:
    """Everything that was measured, as Markdown."""
    return "\n".join(_lines(results)) + "\n"


def _lines(results: Mapping[str, Any]) -> Iterator[str]:
    found = results["machine"]
    yield (
        f"{found['cpu']}, {found['cores']} cores, {found['memory_gib']} GiB, Linux {found['kernel']}; "
        f"Python {found['python']}, node {found['node']}; commit {found['commit']}."
    )
    if "drain" in results:
        yield from _drain(results["drain"]["rounds"])
    if "lateness" in results:
        yield from _lateness(results["lateness"])
    if "growth" in results:
        yield from _growth(results["growth"])
    yield from _others(results)


def _drain(rounds: list[Mapping[str, Any]]) -> Iterator[str]:
    cells = list(dict.fromkeys(cell for one in rounds for cell in one))
    cells.sort(key=lambda cell: (cell.startswith("0/"), int(cell.split("/")[1])))
    names = list(dict.fromkeys(name for one in rounds for cell in cells for name in one.get(cell, {})))
    names.sort(key=lambda name: (not name.startswith("paysync"), name))
    head = [f"{cell.split('/')[0]} ms, {cell.split('/')[1]} in flight" for cell in cells]
    yield from ("", "## Checks a second", "")
    yield f"| worker | {' | '.join(head)} |"
    yield f"| --- |{' --- |' * len(cells)}"
    yield "| *limit: in flight / latency* | " + " | ".join(_limit(cell) for cell in cells) + " |"
    for name in names:
        yield f"| {name} | " + " | ".join(_figure(rounds, cell, name, "rate", "{:,.0f}") for cell in cells) + " |"
    for name in (name for name in names if name.startswith("paysync")):
        ratios = " | ".join(_ratio(rounds, cell, name, "bullmq") for cell in cells)
        yield f"| *{name} : BullMQ, same round* | {ratios} |"
    yield from ("", "## Cost of a check", "")
    for title, key, form in (
        ("CPU seconds of the worker per 1,000 checks", "cpu_per_1000", "{:.2f}"),
        ("CPU seconds of Redis per 1,000 checks", "redis_cpu_per_1000", "{:.3f}"),
        ("Redis commands per check, those inside scripts included", "commands", "{:.1f}"),
        ("Socket reads of Redis per check", "reads", "{:.3f}"),
        ("Largest memory, MiB", "peak_mib", "{:,.0f}"),
        ("Cores that others used meanwhile", "foreign_cores", "{:.2f}"),
    ):
        yield f"| {title} | {' | '.join(head)} |"
        yield f"| --- |{' --- |' * len(cells)}"
        for name in names:
            yield f"| {name} | " + " | ".join(_figure(rounds, cell, name, key, form) for cell in cells) + " |"
        yield ""


def _limit(cell: str) -> str:
    latency, concurrency = map(int, cell.split("/"))
    return f"{concurrency * 1000 / latency:,.0f}" if latency else "none"


def _values(rounds: list[Mapping[str, Any]], cell: str, name: str, key: str) -> list[float]:
    return [one[cell][name][key] for one in rounds if name in one.get(cell, {})]


def _figure(rounds: list[Mapping[str, Any]], cell: str, name: str, key: str, form: str) -> str:
    values = _values(rounds, cell, name, key)
    if not values:
        return "-"
    if len(values) == 1:
        return form.format(values[0])
    return f"**{form.format(statistics.median(values))}** ({form.format(min(values))}-{form.format(max(values))})"


def _ratio(rounds: list[Mapping[str, Any]], cell: str, name: str, other: str) -> str:
    ratios = [
        one[cell][name]["rate"] / one[cell][other]["rate"]
        for one in rounds
        if name in one.get(cell, {}) and other in one.get(cell, {})
    ]
    return f"{statistics.median(ratios):.2f}" if ratios else "-"


def _lateness(found: Mapping[str, list[Mapping[str, float]]]) -> Iterator[str]:
    yield from ("", "## Lateness of a due check on an idle worker, ms", "")
    yield "| worker | checks | min | p50 | p95 | max |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, rounds in found.items():
        for one in rounds:
            spread = " | ".join(f"{one[key]:.0f}" for key in ("n", "min", "p50", "p95", "max"))
            yield f"| {name} | {spread} |"


def _growth(found: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    yield from ("", "## With more open QRs", "")
    yield "| open QRs | checks/s, start included | CPU s per 1,000 | dispatch of 500, ms |"
    yield "| --- | --- | --- | --- |"
    for size, one in found.items():
        yield f"| {int(size):,} | {one['per_s']:,.0f} | {one['cpu_per_1000']:.2f} | {one['dispatch_ms']:.1f} |"


def _others(results: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Single figures", "", "| what | figure |", "| --- | --- |")
    if "memory" in results:
        yield f"| Redis memory per open QR that is not due | {results['memory']['bytes_per_open_qr']:.1f} bytes |"
    for n, one in results.get("import", {}).items():
        yield f"| `paysync import` of {int(n):,} lines | {one['lines_per_s']:,.0f} lines/s, {one['peak_mib']:.0f} MiB |"
    if "sweep" in results:
        sweep = results["sweep"]
        yield (
            f"| sweep of 10,000 payments among 100,000 open QRs, whole process | {sweep['seconds']:.2f} s, "
            f"{sweep['payments_per_s']:,.0f} payments/s |"
        )
    for name, value in results.get("start", {}).items():
        yield f"| start and end of `{name}` | {value:.0f} ms |"
