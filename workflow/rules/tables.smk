# Over all pairs of a suite: tables, run card, page. Figures and tables also go into Snakemake's own
# `--report FILE.html`.


rule tables:
    input:
        inputs_of_runnable("tabulate"),
    output:
        [AT.table(name) for name in (*TABLES, DIGESTS)],
    log:
        AT.log("tables"),
    benchmark:
        AT.benchmark("tables")
    params:
        made_by=made_by("tabulate"),
    message:
        "tables of {wildcards.suite}"
    shell:
        "python -m rsae tables --suite {wildcards.suite} > {log} 2>&1"


rule tabulate_probing:
    input:
        inputs("tabulate_probing"),
    output:
        [AT.table(name) for name in EXTRA_TABLES["probing"]],
    log:
        AT.log("tabulate_probing"),
    params:
        made_by=made_by("tabulate_probing"),
    message:
        "table of the probes of {wildcards.suite}"
    shell:
        "python -m rsae tabulate-probing --suite {wildcards.suite} > {log} 2>&1"


rule tabulate_probing_text:
    input:
        inputs("tabulate_probing"),
    output:
        AT.table("probing_{name}.csv"),
        AT.table("probing_{name}.md"),
    log:
        AT.log("tabulate_probing_{name}"),
    wildcard_constraints:
        name=r"[\w.-]+",
    params:
        made_by=made_by("tabulate_probing"),
    message:
        "table of the probes of {wildcards.suite} on {wildcards.name}"
    shell:
        "python -m rsae tabulate-probing --suite {wildcards.suite} --name {wildcards.name} > {log} 2>&1"


rule tabulate_pareto:
    input:
        inputs("tabulate_pareto"),
    output:
        [AT.table(name) for name in PARETO],
    log:
        AT.log("tabulate_pareto"),
    params:
        made_by=made_by("tabulate_pareto"),
    message:
        "fronts of error against l0 of {wildcards.suite}"
    shell:
        "python -m rsae tabulate-pareto --suite {wildcards.suite} > {log} 2>&1"


rule tabulate_anatomy:
    input:
        inputs("tabulate_anatomy"),
    output:
        [AT.table(name) for name in EXTRA_TABLES["anatomy"]],
    log:
        AT.log("tabulate_anatomy"),
    params:
        made_by=made_by("tabulate_anatomy"),
    message:
        "table of the anatomy of {wildcards.suite}"
    shell:
        "python -m rsae tabulate-anatomy --suite {wildcards.suite} > {log} 2>&1"


rule tabulate_convergence:
    input:
        inputs("tabulate_convergence"),
    output:
        [AT.table(name) for name in EXTRA_TABLES["convergence"]],
    log:
        AT.log("tabulate_convergence"),
    params:
        made_by=made_by("tabulate_convergence"),
    message:
        "whether the teachers of {wildcards.suite} had converged"
    shell:
        "python -m rsae tabulate-convergence --suite {wildcards.suite} > {log} 2>&1"


rule compare_reported:
    input:
        inputs("compare_reported"),
    output:
        AT.table("reported.md"),
    log:
        AT.log("compare_reported"),
    params:
        made_by=made_by("compare_reported"),
    message:
        "{wildcards.suite} beside the numbers that the paper reports"
    shell:
        "python -m rsae compare-reported --suite {wildcards.suite} > {log} 2>&1"


rule run_card:
    input:
        inputs("run_card"),
    output:
        AT.run_card_file(),
    log:
        AT.log("run_card"),
    params:
        made_by=made_by("run_card"),
    message:
        "run card of {wildcards.suite}: commit, versions, time, memory"
    shell:
        "python -m rsae run-card --suite {wildcards.suite} > {log} 2>&1"


rule report_page:
    input:
        inputs_of_runnable("report"),
    output:
        page=AT.page(),
        figures=report(
            directory(AT.root / "figures"),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category="Figures",
        ),
        exports=report(
            directory(AT.root / "exports"),
            patterns=["{table}.csv"],
            caption="../report/table.rst",
            category="Tables",
        ),
    log:
        AT.log("report"),
    params:
        made_by=made_by("report"),
    message:
        "page of {wildcards.suite}: {output.page}"
    shell:
        "python -m rsae report --suite {wildcards.suite} > {log} 2>&1"


# `snakemake report`: the embedded suite's page; `snakemake report-quick`: any suite's.
rule report:
    input:
        lambda w: PLANS["embedded"].page(),


for _plan in PLANS.values():

    rule:
        name:
            f"report-{_plan.name}"
        input:
            _plan.page(),
