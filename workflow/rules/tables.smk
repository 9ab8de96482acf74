# One page per suite, from its tables and from a look at the features of every pair. Figures and tables also
# go into Snakemake's own `--report FILE.html`.


rule examine:
    input:
        lambda w: PLANS[w.suite].examine(w.host, w.teacher).inputs,
    output:
        "results/{suite}/{host}/{teacher}/features.json",
    log:
        "results/logs/{suite}/{host}/examine/{teacher}.log",
    resources:
        mem_mb=lambda w, attempt: attempt * PLANS[w.suite].memory_mb(w.host),
        runtime=lambda w, attempt: attempt * LONG,
    params:
        made_by=lambda w: PLANS[w.suite].examine(w.host, w.teacher).fingerprint,
    shell:
        "python -m rsae examine --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"


rule report_page:
    input:
        lambda w: PLANS[w.suite]
        .report(lambda: checkpoints.preflight.get(suite=w.suite))
        .inputs,
    output:
        page="results/{suite}/report.html",
        figures=report(
            directory("results/{suite}/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category="Figures",
        ),
        exports=report(
            directory("results/{suite}/exports"),
            patterns=["{table}.csv"],
            caption="../report/table.rst",
            category="Tables",
        ),
    log:
        "results/logs/{suite}/report.log",
    params:
        made_by=lambda w: PLANS[w.suite].report().fingerprint,
    shell:
        "python -m rsae report --suite {wildcards.suite} > {log} 2>&1"


# `snakemake report`: the embedded suite's page; `snakemake report-quick`: any suite's.
rule report:
    input:
        f"{PLANS['embedded'].root}/report.html",


for _name, _plan in PLANS.items():

    rule:
        name:
            f"report-{_name}"
        input:
            f"{_plan.root}/report.html",
