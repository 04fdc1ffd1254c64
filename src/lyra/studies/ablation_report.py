"""The ablations' rows as a table to read."""

from collections.abc import Mapping
from typing import Any

from lyra.studies.variants import ABLATIONS, Place

NEAR_NOTHING = 0.05
"""Decibels (or hundredths of lpips_squeeze) below which a difference has no sign."""


def sign(name: str, found: Mapping[str, Any], place: Place = "teacher") -> str:
    """Whether a row differs from the one it is compared with in the direction that was published."""
    ablation = ABLATIONS[name]
    base = found.get(ablation.base)
    if ablation.paper is None or base is None:
        return ""
    ours = found[name][place][ablation.measure] - base[place][ablation.measure]
    theirs = ablation.paper[1] - ablation.paper[0]
    if abs(ours) < NEAR_NOTHING * (0.01 if ablation.measure == "lpips_all" else 1):
        return "no difference"
    return "reproduces" if ours * theirs > 0 else "does not"


def ablation_table(report: Mapping[str, Any]) -> str:
    """The rows that are finished, beside the published ones."""
    found = {name: row for name, row in report["variants"].items() if row is not None}
    photos = ("", "")
    if any("photos" in row for row in found.values()):
        photos = (
            f"| {'photographs, teacher':24s}{' in holes':19s}| sign on       ",
            "|   PSNR   SSIM lpips_sq     PSNR lpips_sq   | photographs   ",
        )
    lines = [
        f"{'':23s}| against the true views  | against the teacher     "
        f"{photos[0]}| published | sign of the   | Gaussians |  steps | s/step    MiB",
        f"{'variant':23s}|   PSNR   SSIM lpips_sq  |   PSNR   SSIM lpips_sq  "
        f"{photos[1]}|           | difference    |           |        |",
    ]
    if report.get("teacher"):
        scores = report["teacher"]
        lines.append(f"{'the teacher itself':23s}|{_cells(scores)}|")
    return "\n".join(lines + [table_row(name, found) for name in found])


def table_row(name: str, found: Mapping[str, Any]) -> str:
    """One row, beside what was published, and the sign of its difference."""
    row, paper = found[name], ABLATIONS[name].paper
    cells = [f"{name:23s}"]
    for kind in ("true", "teacher"):
        cells.append(_cells(row[kind]))
    if "photos" in row:
        cells.append(_cells(row["photos"]) + _hole_cells(row["photos"]))
        cells.append(f" {sign(name, found, 'photos'):14s}")
    cells.append(f" {paper[1]:9.3f} " if paper is not None else " " * 11)
    cells.append(f" {sign(name, found):14s}")
    cells.append(f"{row['gaussians']:>10,d} ")
    cells.append(f"{row['steps']:>7d} ")
    cells.append(f"{row['seconds_per_step']:7.3f} {row['peak_mib'] if row['peak_mib'] is not None else '':>6}")
    return "|".join(cells)


def _cells(scores: Mapping[str, float]) -> str:
    return f" {scores['psnr_all']:6.2f} {scores['ssim_all']:6.3f} {scores['lpips_all']:8.3f}  "


def _hole_cells(scores: Mapping[str, float]) -> str:
    """Empty where no frame has enough of them."""
    if "psnr_holes" not in scores:
        return " " * 19
    return f"{scores['psnr_holes']:7.2f} {scores['lpips_holes']:8.3f}   "
