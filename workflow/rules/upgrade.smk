# Gate fits, the teacher in the common form, its rational copies, the fine-tunes.


rule fit_gate_relu:
    output:
        "results/gates/relu/{p}-{q}.json",
    log:
        "results/logs/gates/relu/{p}-{q}.log",
    params:
        made_by=stage_digest("fit_gate"),
    shell:
        "python -m rsae fit-gate --target relu --degree {wildcards.p} {wildcards.q} --json {output} > {log} 2>&1"


rule fit_gate_jump:
    output:
        "results/gates/{target}_theta-{theta}_delta-{delta}/{p}-{q}.json",
    log:
        "results/logs/gates/{target}_theta-{theta}_delta-{delta}/{p}-{q}.log",
    wildcard_constraints:
        target="jumprelu|topk",
    params:
        made_by=stage_digest("fit_gate"),
    shell:
        "python -m rsae fit-gate --target {wildcards.target} --theta {wildcards.theta} --delta {wildcards.delta}"
        " --degree {wildcards.p} {wildcards.q} --json {output} > {log} 2>&1"


rule fit_gate_sign:
    output:
        "results/gates/sign_delta-{delta}/{p}-{q}.json",
    log:
        "results/logs/gates/sign_delta-{delta}/{p}-{q}.log",
    params:
        made_by=stage_digest("fit_gate"),
    shell:
        "python -m rsae fit-gate --target sign --delta {wildcards.delta}"
        " --degree {wildcards.p} {wildcards.q} --json {output} > {log} 2>&1"


rule import_teacher:
    input:
        lambda w: PLANS[w.suite].import_teacher(w.host, w.teacher).inputs,
    output:
        "results/{suite}/{host}/{teacher}/teacher/seed-0/sae/cfg.json",
        "results/{suite}/{host}/{teacher}/teacher/seed-0/sae/sae_weights.safetensors",
    log:
        "results/logs/{suite}/{host}/import_teacher/{teacher}.log",
    benchmark:
        "results/benchmarks/{suite}/import_teacher/{host}/{teacher}.tsv"
    params:
        made_by=lambda w: PLANS[w.suite].import_teacher(w.host, w.teacher).fingerprint,
    shell:
        "python -m rsae import-teacher --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"


rule init:
    input:
        lambda w: PLANS[w.suite].init(w.host, w.teacher, w.arm).inputs,
    output:
        "results/{suite}/{host}/{teacher}/{arm}/seed-0/sae/cfg.json",
        "results/{suite}/{host}/{teacher}/{arm}/seed-0/sae/sae_weights.safetensors",
    log:
        "results/logs/{suite}/{host}/init/{teacher}-{arm}.log",
    benchmark:
        "results/benchmarks/{suite}/init/{host}/{teacher}-{arm}.tsv"
    wildcard_constraints:
        arm=INIT_ARMS,
    params:
        made_by=lambda w: PLANS[w.suite].init(w.host, w.teacher, w.arm).fingerprint,
    shell:
        "python -m rsae init --host {wildcards.host} --teacher {wildcards.teacher} --arm {wildcards.arm}"
        " > {log} 2>&1"


rule finetune:
    input:
        lambda w: PLANS[w.suite].finetune(w.host, w.teacher, w.arm, int(w.seed)).inputs,
    output:
        "results/{suite}/{host}/{teacher}/{arm}/seed-{seed}/sae/cfg.json",
        "results/{suite}/{host}/{teacher}/{arm}/seed-{seed}/sae/sae_weights.safetensors",
        "results/{suite}/{host}/{teacher}/{arm}/seed-{seed}/training.json",
    log:
        "results/logs/{suite}/{host}/finetune/{teacher}-{arm}-{seed}.log",
    benchmark:
        "results/benchmarks/{suite}/finetune/{host}/{teacher}-{arm}-{seed}.tsv"
    wildcard_constraints:
        arm=TUNED_ARMS,
    params:
        made_by=lambda w: PLANS[w.suite]
        .finetune(w.host, w.teacher, w.arm, int(w.seed))
        .fingerprint,
    shell:
        "python -m rsae finetune --host {wildcards.host} --teacher {wildcards.teacher} --arm {wildcards.arm}"
        " --seed {wildcards.seed} > {log} 2>&1"


rule tune:
    input:
        lambda w: PLANS[w.suite].tune(w.host, w.teacher).inputs,
    output:
        "results/{suite}/{host}/{teacher}/tuning.json",
    log:
        "results/logs/{suite}/{host}/tune/{teacher}.log",
    params:
        made_by=lambda w: PLANS[w.suite].tune(w.host, w.teacher).fingerprint,
    shell:
        "python -m rsae tune --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"
