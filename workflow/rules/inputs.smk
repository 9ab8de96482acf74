# What comes from a hub: the verdict before anything starts, verified files, their pins.


checkpoint preflight:
    output:
        "results/{suite}/preflight.json",
    log:
        "results/logs/{suite}/preflight.log",
    params:
        made_by=lambda w: PLANS[w.suite].preflight_made_by(),
    shell:
        "python -m rsae preflight --suite {wildcards.suite} 2>&1 | tee {log}"


rule fetch_host:
    output:
        "results/{suite}/{host}/source.json",
    log:
        "results/logs/{suite}/{host}/fetch.log",
    params:
        made_by=lambda w: PLANS[w.suite].fetch_host(w.host).fingerprint,
    shell:
        "python -m rsae fetch --host {wildcards.host} > {log} 2>&1"


rule fetch_teacher:
    output:
        "results/{suite}/{host}/{teacher}/source.json",
    log:
        "results/logs/{suite}/{host}/fetch/{teacher}.log",
    params:
        made_by=lambda w: PLANS[w.suite].fetch_teacher(w.host, w.teacher).fingerprint,
    shell:
        "python -m rsae fetch --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"


# `snakemake fetch_paper` writes config/paper.lock.yaml, which is committed and therefore no rule's output.
for _name, _plan in PLANS.items():

    rule:
        name:
            f"fetch_{_name}"
        log:
            f"results/logs/{_name}/fetch_all.log",
        params:
            suite=_name,
        shell:
            "python -m rsae fetch-all --suite {params.suite} 2>&1 | tee {log}"


rule clean_activations:
    log:
        "results/logs/clean_activations.log",
    shell:
        "python -m rsae clean-activations > {log} 2>&1"
