# Judgements of each pair, and the tables over all pairs of a suite.


rule evaluate_reconstruction:
    input:
        lambda w: PLANS[w.suite].evaluate_reconstruction(w.host, w.teacher).inputs,
    output:
        "results/{suite}/{host}/{teacher}/reconstruction.parquet",
    log:
        "results/logs/{suite}/{host}/evaluate_reconstruction/{teacher}.log",
    benchmark:
        "results/benchmarks/{suite}/evaluate_reconstruction/{host}/{teacher}.tsv"
    resources:
        gpu=config["gpus"],
        mem_mb=lambda w, attempt: attempt * PLANS[w.suite].memory_mb(w.host),
        runtime=lambda w, attempt: attempt * LONG,
    params:
        made_by=lambda w: PLANS[w.suite]
        .evaluate_reconstruction(w.host, w.teacher)
        .fingerprint,
    shell:
        "python -m rsae evaluate-reconstruction --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"


rule evaluate_downstream:
    input:
        lambda w: PLANS[w.suite].evaluate_downstream(w.host, w.teacher).inputs,
    output:
        "results/{suite}/{host}/{teacher}/downstream.parquet",
    log:
        "results/logs/{suite}/{host}/evaluate_downstream/{teacher}.log",
    benchmark:
        "results/benchmarks/{suite}/evaluate_downstream/{host}/{teacher}.tsv"
    resources:
        gpu=config["gpus"],
        mem_mb=lambda w, attempt: attempt * PLANS[w.suite].memory_mb(w.host),
        runtime=lambda w, attempt: attempt * LONG,
    params:
        made_by=lambda w: PLANS[w.suite]
        .evaluate_downstream(w.host, w.teacher)
        .fingerprint,
    shell:
        "python -m rsae evaluate-downstream --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"


rule probe:
    input:
        lambda w: PLANS[w.suite].probe(w.host, w.teacher).inputs,
    output:
        "results/{suite}/{host}/{teacher}/probe.parquet",
    log:
        "results/logs/{suite}/{host}/probe/{teacher}.log",
    benchmark:
        "results/benchmarks/{suite}/probe/{host}/{teacher}.tsv"
    resources:
        mem_mb=lambda w, attempt: attempt * PLANS[w.suite].memory_mb(w.host),
        runtime=lambda w, attempt: attempt * LONG,
    params:
        made_by=lambda w: PLANS[w.suite].probe(w.host, w.teacher).fingerprint,
    shell:
        "python -m rsae probe --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"


rule probe_text:
    input:
        lambda w: PLANS[w.suite].probe_text(w.host, w.teacher, w.name).inputs,
    output:
        "results/{suite}/{host}/{teacher}/probe_{name}.parquet",
    log:
        "results/logs/{suite}/{host}/probe_{name}/{teacher}.log",
    benchmark:
        "results/benchmarks/{suite}/probe_{name}/{host}/{teacher}.tsv"
    resources:
        gpu=config["gpus"],
        mem_mb=lambda w, attempt: attempt * PLANS[w.suite].memory_mb(w.host),
        runtime=lambda w, attempt: attempt * LONG,
    params:
        made_by=lambda w: PLANS[w.suite]
        .probe_text(w.host, w.teacher, w.name)
        .fingerprint,
    shell:
        "python -m rsae probe-text --host {wildcards.host} --teacher {wildcards.teacher}"
        " --name {wildcards.name} > {log} 2>&1"


rule tabulate_probing:
    input:
        lambda w: PLANS[w.suite].tabulate_probing().inputs,
    output:
        [f"results/{{suite}}/tables/{name}" for name in EXTRA_TABLES["probing"]],
    log:
        "results/logs/{suite}/tabulate_probing.log",
    params:
        made_by=lambda w: PLANS[w.suite].tabulate_probing().fingerprint,
    shell:
        "python -m rsae tabulate-probing --suite {wildcards.suite} > {log} 2>&1"


rule tabulate_probing_text:
    input:
        lambda w: PLANS[w.suite].tabulate_probing(w.name).inputs,
    output:
        "results/{suite}/tables/probing_{name}.csv",
        "results/{suite}/tables/probing_{name}.md",
    log:
        "results/logs/{suite}/tabulate_probing_{name}.log",
    wildcard_constraints:
        name=r"[\w.-]+",
    params:
        made_by=lambda w: PLANS[w.suite].tabulate_probing(w.name).fingerprint,
    shell:
        "python -m rsae tabulate-probing --suite {wildcards.suite} --name {wildcards.name} > {log} 2>&1"


rule tabulate_pareto:
    input:
        lambda w: PLANS[w.suite].tabulate_pareto().inputs,
    output:
        [f"results/{{suite}}/tables/{name}" for name in PARETO],
    log:
        "results/logs/{suite}/tabulate_pareto.log",
    params:
        made_by=lambda w: PLANS[w.suite].tabulate_pareto().fingerprint,
    shell:
        "python -m rsae tabulate-pareto --suite {wildcards.suite} > {log} 2>&1"


rule anatomy:
    input:
        lambda w: PLANS[w.suite].anatomy(w.host, w.teacher).inputs,
    output:
        "results/{suite}/{host}/{teacher}/anatomy.parquet",
    log:
        "results/logs/{suite}/{host}/anatomy/{teacher}.log",
    benchmark:
        "results/benchmarks/{suite}/anatomy/{host}/{teacher}.tsv"
    resources:
        mem_mb=lambda w, attempt: attempt * PLANS[w.suite].memory_mb(w.host),
        runtime=lambda w, attempt: attempt * LONG,
    params:
        made_by=lambda w: PLANS[w.suite].anatomy(w.host, w.teacher).fingerprint,
    shell:
        "python -m rsae anatomy --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"


rule tabulate_anatomy:
    input:
        lambda w: PLANS[w.suite].tabulate_anatomy().inputs,
    output:
        [f"results/{{suite}}/tables/{name}" for name in EXTRA_TABLES["anatomy"]],
    log:
        "results/logs/{suite}/tabulate_anatomy.log",
    params:
        made_by=lambda w: PLANS[w.suite].tabulate_anatomy().fingerprint,
    shell:
        "python -m rsae tabulate-anatomy --suite {wildcards.suite} > {log} 2>&1"


rule tabulate_convergence:
    input:
        lambda w: PLANS[w.suite].tabulate_convergence().inputs,
    output:
        [f"results/{{suite}}/tables/{name}" for name in EXTRA_TABLES["convergence"]],
    log:
        "results/logs/{suite}/tabulate_convergence.log",
    params:
        made_by=lambda w: PLANS[w.suite].tabulate_convergence().fingerprint,
    shell:
        "python -m rsae tabulate-convergence --suite {wildcards.suite} > {log} 2>&1"


rule tables:
    input:
        lambda w: PLANS[w.suite]
        .tabulate(lambda: checkpoints.preflight.get(suite=w.suite))
        .inputs,
    output:
        [f"results/{{suite}}/tables/{name}" for name in (*TABLES, DIGESTS)],
    log:
        "results/logs/{suite}/tables.log",
    benchmark:
        "results/benchmarks/{suite}/tables.tsv"
    params:
        made_by=lambda w: PLANS[w.suite].tabulate().fingerprint,
    shell:
        "python -m rsae tables --suite {wildcards.suite} > {log} 2>&1"


rule compare_reported:
    input:
        lambda w: PLANS[w.suite].compare_reported().inputs,
    output:
        "results/{suite}/tables/reported.md",
    log:
        "results/logs/{suite}/compare_reported.log",
    params:
        made_by=lambda w: PLANS[w.suite].compare_reported().fingerprint,
    shell:
        "python -m rsae compare-reported --suite {wildcards.suite} > {log} 2>&1"


rule run_card:
    input:
        lambda w: PLANS[w.suite].run_card().inputs,
    output:
        "results/{suite}/run-card.json",
    log:
        "results/logs/{suite}/run_card.log",
    params:
        made_by=lambda w: PLANS[w.suite].run_card().fingerprint,
    shell:
        "python -m rsae run-card --suite {wildcards.suite} > {log} 2>&1"
