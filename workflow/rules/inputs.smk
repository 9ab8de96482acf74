# From sources to activations: what comes from a hub, text, tokens, the residual stream.


checkpoint preflight:
    output:
        AT.preflight_file(),
    log:
        AT.log("preflight"),
    params:
        made_by=lambda w: PLANS[w.suite].preflight_made_by(),
    message:
        "preflight of {wildcards.suite}: what will be needed, what is missing"
    shell:
        "python -m rsae preflight --suite {wildcards.suite} 2>&1 | tee {log}"


rule fetch_host:
    output:
        AT.receipt("{host}"),
    log:
        AT.log("{host}", "fetch"),
    params:
        made_by=made_by("fetch"),
    message:
        "fetch {wildcards.host} from its hub"
    shell:
        "python -m rsae fetch --host {wildcards.host} > {log} 2>&1"


rule fetch_teacher:
    output:
        AT.receipt(*PAIR),
    log:
        AT.log("{host}", "fetch", "{teacher}"),
    params:
        made_by=made_by("fetch"),
    message:
        "fetch {wildcards.host}/{wildcards.teacher} from its hub"
    shell:
        "python -m rsae fetch --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"


# `snakemake fetch_paper` writes config/paper.lock.yaml, which is committed and therefore no rule's output.
for _plan in PLANS.values():

    rule:
        name:
            f"fetch_{_plan.name}"
        log:
            _plan.log("fetch_all"),
        params:
            suite=_plan.name,
        message:
            "fetch all of {params.suite} and pin it"
        shell:
            "python -m rsae fetch-all --suite {params.suite} 2>&1 | tee {log}"


rule text:
    input:
        lambda w: PLANS[w.suite].text(w.text[5:]).inputs,
    output:
        [AT.root / "{text}" / f"{split}.jsonl" for split in TEXT_SPLITS],
        AT.root / "{text}" / "manifest.json",
    log:
        AT.log("{text}"),
    benchmark:
        AT.benchmark("{text}")
    wildcard_constraints:
        text=r"text(/[\w.-]+)?",  # the suite's text, or one by name
    params:
        made_by=lambda w: PLANS[w.suite].text(w.text[5:]).fingerprint,
        which=lambda w: f"{w.suite} --name {w.text[5:]}" if w.text[5:] else w.suite,
    message:
        "documents of {wildcards.suite}/{wildcards.text}, kept apart between splits"
    shell:
        "python -m rsae text --suite {params.which} > {log} 2>&1"


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


rule tokens:
    input:
        inputs("tokens"),
    output:
        AT.token_file("{host}", "{split}"),
    log:
        AT.log("{host}", "tokens", "{split}"),
    benchmark:
        AT.benchmark("tokens", "{host}", "{split}")
    wildcard_constraints:
        host=READ_ELSEWHERE + ADDRESS,
    params:
        made_by=made_by("tokens"),
    message:
        "tokens of {wildcards.split} for {wildcards.host}"
    shell:
        "python -m rsae tokens --host {wildcards.host} --split {wildcards.split} > {log} 2>&1"


rule harvest:
    input:
        inputs("harvest"),
    output:
        directory(AT.activations("{host}", "{split}")),
    log:
        AT.log("{host}", "harvest", "{split}"),
    benchmark:
        AT.benchmark("harvest", "{host}", "{split}")
    wildcard_constraints:
        host=HARVESTED_TOGETHER + ADDRESS,
    resources:
        gpu=config["gpus"],
        mem_mb=memory,
        runtime=long,
    params:
        made_by=made_by("harvest"),
    message:
        "activations of {wildcards.split} at {wildcards.host}"
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
            [directory(_plan.activations(site, "{split}")) for site in _sites],
        log:
            _plan.log(_sites[0], "harvest", "{split}"),
        benchmark:
            _plan.benchmark("harvest", _sites[0], "{split}")
        resources:
            gpu=config["gpus"],
            mem_mb=lambda w, attempt, memory=_memory: attempt * memory,
            runtime=long,
        params:
            first=_sites[0],
            made_by=lambda w, plan=_plan, first=_sites[0]: plan.harvest(
                first, w.split
            ).fingerprint,
        message:
            "activations of {wildcards.split} at {params.first} and all sites that read the same rows"
        shell:
            "python -m rsae harvest --host {params.first} --split {wildcards.split} > {log} 2>&1"


rule clean_activations:
    log:
        RESULTS / "logs/clean_activations.log",
    message:
        "delete the activations of every suite"
    shell:
        "python -m rsae clean-activations > {log} 2>&1"
