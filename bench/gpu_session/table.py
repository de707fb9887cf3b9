"""The results of a session as Markdown."""

from __future__ import annotations

from typing import Any

COLUMNS = {
    "pairs_per_second": "pairs/s",
    "sentences_per_second": "sentences/s",
    "tokens_per_second": "tokens/s",
    "tflops": "TFLOP/s",
    "of_matmul": "of a matmul",
    "busy": "busy",
    "padding": "padding",
    "not_finite": "not finite",
}


def add_matmul_shares(parts: dict[str, Any]) -> None:
    """Add to each measurement its share of the matrix product in the precision that its name has, else in bf16."""
    peaks = {name: value.get("tflops") for name, value in parts["matmul"]["measurements"].items()}
    for part in parts.values():
        for name, value in part["measurements"].items():
            peak = peaks.get(next((precision for precision in peaks if precision in name), "bf16"))
            if part is not parts["matmul"] and peak and "tflops" in value:
                value["of_matmul"] = round(value["tflops"] / peak, 3)


def tables(results: dict[str, Any]) -> str:
    """A line for each measurement, and the errors."""
    machine = results["parts"]["machine"]["measurements"].get("machine", {})
    first = ", ".join(f"{key} {value}" for key, value in machine.items())
    lines = [f"{first}; {results['pairs']:,} pairs, {results['seconds']:.0f} s", ""]
    lines += [f"| part | measurement | {' | '.join(COLUMNS.values())} | other |"]
    lines += ["|---|---|" + "--:|" * len(COLUMNS) + "---|"]
    for name, part in results["parts"].items():
        if name == "machine":
            continue
        for measurement, value in part["measurements"].items():
            cells = [_cell(key, value.get(key)) for key in COLUMNS]
            other = ", ".join(f"{key} {x}" for key, x in value.items() if key not in COLUMNS)
            lines.append(f"| {name} | {measurement} | {' | '.join(cells)} | {other} |")
        if "error" in part:
            lines.append(f"| {name} | | {' | '.join([''] * len(COLUMNS))} | error: {part['error']} |")
    return "\n".join(lines).replace("\r", " ") + "\n"


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key in ("of_matmul", "busy", "padding"):
        return f"{value:.1%}"
    return f"{value:,.1f}" if key == "tflops" else f"{value:,.0f}"
