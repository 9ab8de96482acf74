# Text to tokens to residual activations.


# Sites of a host that read the same rows share their tokens and come from one run of it, in a job with a folder for
# each; host names are unique, so that an address says which.
SHARED = [
    (plan, sites)
    for plan in PLANS.values()
    for sites in plan.readings.values()
    if len(sites) > 1
]
HARVESTED_TOGETHER = "".join(
    f"(?!{re.escape(site)}/activations/)" for _, sites in SHARED for site in sites
)
READ_ELSEWHERE = "".join(
    f"(?!{re.escape(site)}/tokens/)"
    for plan in PLANS.values()
    for host in plan.suite.hosts
    for site in plan.sites(host)
    if plan.reading(site) != site
)


rule text:
    input:
        lambda w: PLANS[w.suite].text(w.text[5:]).inputs,
    output:
        [f"results/{{suite}}/{{text}}/{split}.jsonl" for split in TEXT_SPLITS],
        "results/{suite}/{text}/manifest.json",
    log:
        "results/logs/{suite}/{text}.log",
    benchmark:
        "results/benchmarks/{suite}/{text}.tsv"
    wildcard_constraints:
        text=r"text(/[\w.-]+)?",  # the suite's text, or one by name
    params:
        made_by=lambda w: PLANS[w.suite].text(w.text[5:]).fingerprint,
        which=lambda w: f"{w.suite} --name {w.text[5:]}" if w.text[5:] else w.suite,
    shell:
        "python -m rsae text --suite {params.which} > {log} 2>&1"


rule tokens:
    input:
        lambda w: PLANS[w.suite].tokens(w.host, w.split).inputs,
    output:
        "results/{suite}/{host}/tokens/{split}.parquet",
    log:
        "results/logs/{suite}/{host}/tokens/{split}.log",
    benchmark:
        "results/benchmarks/{suite}/tokens/{host}/{split}.tsv"
    wildcard_constraints:
        host=READ_ELSEWHERE + ADDRESS,
    params:
        made_by=lambda w: PLANS[w.suite].tokens(w.host, w.split).fingerprint,
    shell:
        "python -m rsae tokens --host {wildcards.host} --split {wildcards.split} > {log} 2>&1"


rule harvest:
    input:
        lambda w: PLANS[w.suite].harvest(w.host, w.split).inputs,
    output:
        directory("results/{suite}/{host}/activations/{split}"),
    log:
        "results/logs/{suite}/{host}/harvest/{split}.log",
    benchmark:
        "results/benchmarks/{suite}/harvest/{host}/{split}.tsv"
    wildcard_constraints:
        host=HARVESTED_TOGETHER + ADDRESS,
    resources:
        gpu=config["gpus"],
        mem_mb=lambda w, attempt: attempt * PLANS[w.suite].memory_mb(w.host),
        runtime=lambda w, attempt: attempt * LONG,
    params:
        made_by=lambda w: PLANS[w.suite].harvest(w.host, w.split).fingerprint,
    shell:
        "python -m rsae harvest --host {wildcards.host} --split {wildcards.split} > {log} 2>&1"


for _number, (_plan, _sites) in enumerate(SHARED):
    _memory = _plan.memory_mb(_sites[0])

    rule:
        name:
            f"harvest_together_{_number}"
        input:
            lambda w, plan=_plan, first=_sites[0]: plan.harvest(first, w.split).inputs,
        output:
            [
                directory(f"results/{_plan.name}/{site}/activations/{{split}}")
                for site in _sites
            ],
        log:
            f"results/logs/{_plan.name}/{_sites[0]}/harvest/{{split}}.log",
        benchmark:
            f"results/benchmarks/{_plan.name}/harvest/{_sites[0]}/{{split}}.tsv"
        resources:
            gpu=config["gpus"],
            mem_mb=lambda w, attempt, memory=_memory: attempt * memory,
            runtime=lambda w, attempt: attempt * LONG,
        params:
            first=_sites[0],
            made_by=lambda w, plan=_plan, first=_sites[0]: plan.harvest(
                first, w.split
            ).fingerprint,
        shell:
            "python -m rsae harvest --host {params.first} --split {wildcards.split} > {log} 2>&1"
