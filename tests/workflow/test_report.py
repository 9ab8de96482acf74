"""The two reports of a suite that was really run: our page, and Snakemake's own of the same figures and tables."""


def test_both_reports_hold_every_figure_and_table(quick):
    quick.snakemake("--cores", "2", "report-quick")
    assert quick.planned("report-quick") == set()
    root = quick.folder / "results/quick"
    figures, tables = sorted(root.glob("figures/*.svg")), sorted(root.glob("exports/*.csv"))
    for teacher in ("relu", "jumprelu", "topk"):
        drawn = {p.name.partition("-")[0] for p in figures if p.stem.endswith(f"-{teacher}")}
        assert drawn >= {"gates", "fronts", "densities", "stability", "thresholds"}
    assert {p.name.partition("-")[0] for p in tables} >= {
        "claims",
        "reconstruction",
        "downstream",
        "win_loss",
        "strict",
    }
    assert (root / "report.html").stat().st_size < 5e6
    quick.snakemake("--report", "snakemake.html", "report-quick")
    whole = (quick.folder / "snakemake.html").read_text()
    assert [p for p in (*figures, *tables) if f'"{p.relative_to(quick.folder)}": {{"name"' not in whole] == []
    assert "exactly 0 outside the declared support" in whole  # a caption
