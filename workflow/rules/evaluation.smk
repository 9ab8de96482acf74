# What is measured of each pair: its SAEs on test documents, on tokens, in the host, by probes, feature by feature.


rule evaluate_reconstruction:
    input:
        inputs("evaluate_reconstruction"),
    output:
        AT.sums(*PAIR, "reconstruction"),
    log:
        AT.log("{host}", "evaluate_reconstruction", "{teacher}"),
    benchmark:
        AT.benchmark("evaluate_reconstruction", *PAIR)
    resources:
        gpu=config["gpus"],
        mem_mb=memory,
        runtime=long,
    params:
        made_by=made_by("evaluate_reconstruction"),
    message:
        "error and sparsity of every arm of {wildcards.host}/{wildcards.teacher}"
    shell:
        "python -m rsae evaluate-reconstruction --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"


rule evaluate_downstream:
    input:
        inputs("evaluate_downstream"),
    output:
        AT.sums(*PAIR, "downstream"),
    log:
        AT.log("{host}", "evaluate_downstream", "{teacher}"),
    benchmark:
        AT.benchmark("evaluate_downstream", *PAIR)
    resources:
        gpu=config["gpus"],
        mem_mb=memory,
        runtime=long,
    params:
        made_by=made_by("evaluate_downstream"),
    message:
        "what {wildcards.host} loses through every arm of {wildcards.teacher}"
    shell:
        "python -m rsae evaluate-downstream --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"


rule probe:
    input:
        inputs("probe"),
    output:
        AT.sums(*PAIR, "probe"),
    log:
        AT.log("{host}", "probe", "{teacher}"),
    benchmark:
        AT.benchmark("probe", *PAIR)
    resources:
        mem_mb=memory,
        runtime=long,
    params:
        made_by=made_by("probe"),
    message:
        "sparse probes on every arm of {wildcards.host}/{wildcards.teacher}"
    shell:
        "python -m rsae probe --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"


rule probe_text:
    input:
        inputs("probe_text"),
    output:
        AT.sums(*PAIR, "probe_{name}"),
    log:
        AT.log("{host}", "probe_{name}", "{teacher}"),
    benchmark:
        AT.benchmark("probe_{name}", *PAIR)
    resources:
        gpu=config["gpus"],
        mem_mb=memory,
        runtime=long,
    params:
        made_by=made_by("probe_text"),
    message:
        "sparse probes on {wildcards.name} with every arm of {wildcards.host}/{wildcards.teacher}"
    shell:
        "python -m rsae probe-text --host {wildcards.host} --teacher {wildcards.teacher}"
        " --name {wildcards.name} > {log} 2>&1"


rule anatomy:
    input:
        inputs("anatomy"),
    output:
        AT.sums(*PAIR, "anatomy"),
    log:
        AT.log("{host}", "anatomy", "{teacher}"),
    benchmark:
        AT.benchmark("anatomy", *PAIR)
    resources:
        mem_mb=memory,
        runtime=long,
    params:
        made_by=made_by("anatomy"),
    message:
        "anatomy of the codes of every arm of {wildcards.host}/{wildcards.teacher}"
    shell:
        "python -m rsae anatomy --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"


rule examine:
    input:
        inputs("examine"),
    output:
        AT.features_file(*PAIR),
    log:
        AT.log("{host}", "examine", "{teacher}"),
    resources:
        mem_mb=memory,
        runtime=long,
    params:
        made_by=made_by("examine"),
    message:
        "a look at the features of {wildcards.host}/{wildcards.teacher}"
    shell:
        "python -m rsae examine --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"
