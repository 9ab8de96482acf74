# Gate fits, the teacher in the common form, its rational copies, the fine-tunes.


TOGETHER = [plan for plan in PLANS.values() if plan.suite.finetune.together]
ALONE = {name: plan for name, plan in PLANS.items() if plan not in TOGETHER}


rule fit_gate_relu:
    output:
        "results/gates/relu/{p}-{q}.json",
    log:
        "results/logs/gates/relu/{p}-{q}.log",
    params:
        made_by=stage_digest("training.fit_gate"),
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
        made_by=stage_digest("training.fit_gate"),
    shell:
        "python -m rsae fit-gate --target {wildcards.target} --theta {wildcards.theta} --delta {wildcards.delta}"
        " --degree {wildcards.p} {wildcards.q} --json {output} > {log} 2>&1"


rule fit_gate_sign:
    output:
        "results/gates/sign_delta-{delta}/{p}-{q}.json",
    log:
        "results/logs/gates/sign_delta-{delta}/{p}-{q}.log",
    params:
        made_by=stage_digest("training.fit_gate"),
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
    resources:
        mem_mb=lambda w, attempt: attempt * PLANS[w.suite].memory_mb(w.host),
    params:
        made_by=lambda w: PLANS[w.suite].import_teacher(w.host, w.teacher).fingerprint,
    shell:
        "python -m rsae import-teacher --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"


rule verify_teacher:
    input:
        lambda w: PLANS[w.suite].verify_teacher(w.host, w.teacher).inputs,
    output:
        "results/{suite}/{host}/{teacher}/verified.json",
    log:
        "results/logs/{suite}/{host}/verify_teacher/{teacher}.log",
    benchmark:
        "results/benchmarks/{suite}/verify_teacher/{host}/{teacher}.tsv"
    resources:
        gpu=config["gpus"],
        mem_mb=lambda w, attempt: attempt * PLANS[w.suite].memory_mb(w.host),
        runtime=lambda w, attempt: attempt * LONG,
    params:
        made_by=lambda w: PLANS[w.suite].verify_teacher(w.host, w.teacher).fingerprint,
    shell:
        "python -m rsae verify-teacher --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"


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
        arm="|".join(plan.arm_names(tuned=False) for plan in PLANS.values()),
    resources:
        mem_mb=lambda w, attempt: attempt * PLANS[w.suite].memory_mb(w.host),
    params:
        made_by=lambda w: PLANS[w.suite].init(w.host, w.teacher, w.arm).fingerprint,
    shell:
        "python -m rsae init --host {wildcards.host} --teacher {wildcards.teacher} --arm {wildcards.arm}"
        " > {log} 2>&1"


# One job trains all seeds of an arm; which seeds, a suite says.
for _name, _plan in ALONE.items():

    rule:
        name:
            f"finetune_{_name}"
        input:
            lambda w, plan=_plan: plan.finetune(w.host, w.teacher, w.arm).inputs,
        output:
            [
                f"results/{_name}/{{host}}/{{teacher}}/{{arm}}/seed-{seed}/{file}"
                for seed in _plan.suite.seeds
                for file in (*(f"sae/{f}" for f in SAE_FILES), "training.json")
            ],
        log:
            f"results/logs/{_name}/{{host}}/finetune/{{teacher}}-{{arm}}.log",
        benchmark:
            f"results/benchmarks/{_name}/finetune/{{host}}/{{teacher}}-{{arm}}.tsv"
        wildcard_constraints:
            arm=_plan.arm_names(tuned=True),
        resources:
            gpu=config["gpus"],
            mem_mb=lambda w, attempt, plan=_plan: attempt * plan.memory_mb(w.host),
            runtime=lambda w, attempt: attempt * LONG,
        params:
            made_by=lambda w, plan=_plan: plan.finetune(
                w.host, w.teacher, w.arm
            ).fingerprint,
        shell:
            "python -m rsae finetune --host {wildcards.host} --teacher {wildcards.teacher} --arm {wildcards.arm}"
            " > {log} 2>&1"


# Where a suite says `together`, one job trains all arms of a pair.
for _plan in TOGETHER:
    for _pair in _plan.trained_pairs():

        rule:
            name:
                "_".join(["finetune", _plan.name, *_pair])
            input:
                lambda w, plan=_plan, pair=_pair: plan.finetune_together(*pair).inputs,
            output:
                [
                    "/".join(
                        ["results", _plan.name, *_pair, arm, f"seed-{seed}", file]
                    )
                    for arm in _plan.tuned_arms(*_pair)
                    for seed in _plan.suite.seeds
                    for file in (*(f"sae/{f}" for f in SAE_FILES), "training.json")
                ],
            log:
                f"results/logs/{_plan.name}/{_pair[0]}/finetune/{_pair[1]}.log",
            benchmark:
                f"results/benchmarks/{_plan.name}/finetune/{_pair[0]}/{_pair[1]}.tsv"
            resources:
                gpu=config["gpus"],
                mem_mb=lambda w, attempt, plan=_plan, pair=_pair: attempt
                * plan.memory_mb(pair[0]),
                runtime=lambda w, attempt: attempt * LONG,
            params:
                made_by=lambda w, plan=_plan, pair=_pair: plan.finetune_together(
                    *pair
                ).fingerprint,
                host=_pair[0],
                teacher=_pair[1],
            shell:
                "python -m rsae finetune --host {params.host} --teacher {params.teacher} > {log} 2>&1"


rule tune:
    input:
        lambda w: PLANS[w.suite].tune(w.host, w.teacher).inputs,
    output:
        "results/{suite}/{host}/{teacher}/tuning.json",
    log:
        "results/logs/{suite}/{host}/tune/{teacher}.log",
    resources:
        gpu=config["gpus"],
        mem_mb=lambda w, attempt: attempt * PLANS[w.suite].memory_mb(w.host),
        runtime=lambda w, attempt: attempt * LONG,
    params:
        made_by=lambda w: PLANS[w.suite].tune(w.host, w.teacher).fingerprint,
    shell:
        "python -m rsae tune --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"


rule tune_arm:
    input:
        lambda w: PLANS[w.suite].tune_arm(w.host, w.teacher, w.arm).inputs,
    output:
        "results/{suite}/{host}/{teacher}/{arm}/tuning.json",
    log:
        "results/logs/{suite}/{host}/tune_arm/{teacher}-{arm}.log",
    benchmark:
        "results/benchmarks/{suite}/tune_arm/{host}/{teacher}-{arm}.tsv"
    resources:
        gpu=config["gpus"],
        mem_mb=lambda w, attempt: attempt * PLANS[w.suite].memory_mb(w.host),
        runtime=lambda w, attempt: attempt * LONG,
    params:
        made_by=lambda w: PLANS[w.suite].tune_arm(w.host, w.teacher, w.arm).fingerprint,
    shell:
        "python -m rsae tune-arm --host {wildcards.host} --teacher {wildcards.teacher} --arm {wildcards.arm}"
        " > {log} 2>&1"
