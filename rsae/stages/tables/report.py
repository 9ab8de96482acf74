"""The page of a suite: ``report.html``, its figures as SVG and PNG, its tables as CSV and LaTeX."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rsae.report.page import Picture, exports, figures, markdown, render
from rsae.runtime.files import read_sealed, replacing
from rsae.runtime.seals import untouched

Draw = Callable[[figures.Found, Path, str, Mapping[str, str]], None]
OF_A_PAIR: dict[str, tuple[Draw, str]] = {  # section: how it is drawn, what it shows
    "gates": (figures.gates, "code against pre-activation of one feature"),
    "thresholds": (figures.thresholds, "features per token against eps"),
    "densities": (figures.densities, "features by density"),
    "stability": (figures.stability, "share of features against likeness to the teacher's"),
}


def run(
    tables: Sequence[Path],
    cells: Path,
    features: Mapping[tuple[str, str], Path],
    run_card: Path,
    atlas: Sequence[Path],
    fronts: Sequence[Path],
    out: Path,
    *,
    suite: str,
    not_run: Mapping[str, str],
) -> None:
    """``tables`` are Markdown, in the order of the page; ``features``, by pair, are what the stage ``examine`` wrote.

    ``atlas`` and ``fronts`` are SVGs that others drew: gates by degree, and l0 against error where a suite sweeps it.

    Writes ``out/report.html``, ``out/figures/`` and ``out/exports/``.
    """
    documents = [(path.stem, markdown.read(path)) for path in tables]
    found = {pair: read_sealed(path) for pair, path in features.items()}
    documents += [("stability", list(_stability(found)))] if found else []
    untouched(cells)
    numbers = pd.read_csv(cells)
    colour = figures.colours(list(dict.fromkeys(numbers.arm)))
    with replacing(out / "exports") as temporary:
        temporary.mkdir()
        names = exports.write(documents, temporary)
    with replacing(out / "figures") as temporary:
        temporary.mkdir()
        drawn = _drawn(numbers, found, temporary, colour)
    sections = {
        section: [picture._replace(svg=out / "figures" / picture.svg.name) for picture in its]
        for section, its in drawn.items()
    }
    sections["atlas"] = [Picture(path, path.stem, "of the study `gates`") for path in atlas]
    sections["fronts"] += [Picture(path, path.stem, "a sweep of l0") for path in fronts]
    sections = {section: [_addressed(picture, out) for picture in its] for section, its in sections.items()}
    with replacing(out / "report.html") as temporary:
        temporary.write_text(
            render(
                suite=suite,
                documents=documents,
                pictures=sections,
                views={f"{h}/{t}": _views(f["views"]) for (h, t), f in found.items()},
                run_card=json.loads(run_card.read_text(encoding="utf-8")),
                not_run=not_run,
                exports=names,
            ),
            encoding="utf-8",
        )


def _addressed(picture: Picture, out: Path) -> Picture:
    return picture._replace(address=os.path.relpath(picture.svg, out))


def _views(views: Mapping[str, Any]) -> dict[str, Any]:
    """Arms that show anything, the control last."""
    return {arm: views[arm] for arm in sorted(views, key=lambda arm: arm == "teacher_ft") if views[arm]}


def _drawn(
    numbers: pd.DataFrame,
    found: Mapping[tuple[str, str], figures.Found],
    folder: Path,
    colour: Mapping[str, str],
) -> dict[str, list[Picture]]:
    sections: dict[str, list[Picture]] = {"fronts": [], **{section: [] for section in OF_A_PAIR}}
    for host, teacher in dict.fromkeys(zip(numbers.host, numbers.teacher, strict=True)):
        name = f"fronts-{host}-{teacher}"
        figures.fronts(numbers.query("host == @host and teacher == @teacher"), folder, name, colour)
        title = f"{host} / {teacher}"
        sections["fronts"].append(Picture(folder / f"{name}.svg", title, "l0 against error, hard codes"))
    for (host, teacher), its in found.items():
        for section, (draw, caption) in OF_A_PAIR.items():
            name = f"{section}-{host}-{teacher}"
            draw(its, folder, name, colour)
            picture = Picture(folder / f"{name}.svg", f"{host} / {teacher}", caption, wide=figures.wide(its["arms"]))
            sections[section].append(picture)
    return sections


def _stability(found: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[markdown.Block]:
    """Medians, and the fifth percentile: what the curves of the section say, in numbers."""
    header = ["host", "teacher", "arm", "features compared"]
    header += [f"{measure}, {which}" for measure in figures.STABLE.values() for which in ("median", "5th percentile")]
    rows = [
        [
            markdown.cell(text)
            for text in (
                host,
                teacher,
                arm,
                str(its["compared"]),
                *(f"{quantiles[m][q]:.3f}" for m in figures.STABLE for q in (50, 5)),
            )
        ]
        for (host, teacher), its in found.items()
        for arm, quantiles in its["stability"].items()
        if quantiles
    ]
    return [
        markdown.Heading(1, "Features stay the same"),
        markdown.Prose(
            "<p>Feature j of each arm against feature j of the teacher; hard codes, held-out documents.</p>"
        ),
        markdown.Table("Features stay the same", header, rows),
    ]
