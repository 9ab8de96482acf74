# Gate fits, the teacher in the common form, its rational copies, the fine-tunes.


GATE_DESIGNS = {
    "relu": {"target": "relu"},
    "jump": {"target": "{target}", "theta": "{theta}", "delta": "{delta}"},
    "sign": {"target": "sign", "delta": "{delta}"},
}

for _name, _design in GATE_DESIGNS.items():

    rule:
        name:
            f"fit_gate_{_name}"
        output:
            fit_path(RESULTS, {**_design, "degree": ("{p}", "{q}")}),
        log:
            fit_path(
                RESULTS / "logs", {**_design, "degree": ("{p}", "{q}")}
            ).with_suffix(".log"),
        wildcard_constraints:
            target="jumprelu|topk",
        params:
            options=" ".join(f"--{word} {value}" for word, value in _design.items()),
            made_by=module_digest("rsae.rational.record"),
        message:
            "fit {output}"
        shell:
            "python -m rsae fit-gate {params.options} --degree {wildcards.p} {wildcards.q} --json {output} > {log} 2>&1"


rule import_teacher:
    input:
        inputs("import_teacher"),
    output:
        AT.sae_files(*PAIR, "teacher", 0),
    log:
        AT.log("{host}", "import_teacher", "{teacher}"),
    benchmark:
        AT.benchmark("import_teacher", *PAIR)
    resources:
        mem_mb=memory,
    params:
        made_by=made_by("import_teacher"),
    message:
        "load {wildcards.host}/{wildcards.teacher} from its files"
    shell:
        "python -m rsae import-teacher --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"


rule verify_teacher:
    input:
        inputs("verify_teacher"),
    output:
        AT.verified(*PAIR),
    log:
        AT.log("{host}", "verify_teacher", "{teacher}"),
    benchmark:
        AT.benchmark("verify_teacher", *PAIR)
    resources:
        gpu=config["gpus"],
        mem_mb=memory,
        runtime=long,
    params:
        made_by=made_by("verify_teacher"),
    message:
        "hold {wildcards.host}/{wildcards.teacher} against its published figures and sae_lens"
    shell:
        "python -m rsae verify-teacher --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"


rule init:
    input:
        inputs("init"),
    output:
        AT.sae_files(*CELL, 0),
    log:
        AT.log("{host}", "init", "{teacher}-{arm}"),
    benchmark:
        AT.benchmark("init", "{host}", "{teacher}-{arm}")
    wildcard_constraints:
        arm="|".join(plan.arm_names(tuned=False) for plan in PLANS.values()),
    resources:
        mem_mb=memory,
    params:
        made_by=made_by("init"),
    message:
        "build {wildcards.arm} from {wildcards.host}/{wildcards.teacher}, untrained"
    shell:
        "python -m rsae init --host {wildcards.host} --teacher {wildcards.teacher} --arm {wildcards.arm}"
        " > {log} 2>&1"


# One job trains all seeds of an arm, which a suite says; or of all arms of a pair, where the suite says `together`.
for _plan in PLANS.values():
    for _group in finetunes(_plan):

        rule:
            name:
                f"finetune_{_group.name}"
            input:
                lambda w, group=_group: group.job(w).inputs,
            output:
                _group.outputs,
            log:
                _group.log,
            benchmark:
                _group.benchmark
            wildcard_constraints:
                arm=_plan.arm_names(tuned=True),
            resources:
                gpu=config["gpus"],
                mem_mb=lambda w, attempt, group=_group: attempt * group.memory_mb(w),
                runtime=long,
            params:
                made_by=lambda w, group=_group: group.job(w).fingerprint,
                options=_group.options,
            message:
                f"{_group.message.replace('{', '{wildcards.')}"
            shell:
                "python -m rsae finetune {params.options} > {log} 2>&1"


rule tune:
    input:
        inputs("tune"),
    output:
        AT.tuning(*PAIR),
    log:
        AT.log("{host}", "tune", "{teacher}"),
    resources:
        gpu=config["gpus"],
        mem_mb=memory,
        runtime=long,
    params:
        made_by=made_by("tune"),
    message:
        "try settings of {wildcards.host}/{wildcards.teacher} on tuning documents"
    shell:
        "python -m rsae tune --host {wildcards.host} --teacher {wildcards.teacher} > {log} 2>&1"


rule tune_arm:
    input:
        inputs("tune"),
    output:
        AT.tuning(*CELL),
    log:
        AT.log("{host}", "tune_arm", "{teacher}-{arm}"),
    benchmark:
        AT.benchmark("tune_arm", "{host}", "{teacher}-{arm}")
    resources:
        gpu=config["gpus"],
        mem_mb=memory,
        runtime=long,
    params:
        made_by=made_by("tune"),
    message:
        "try settings of {wildcards.arm} of {wildcards.host}/{wildcards.teacher} on tuning documents"
    shell:
        "python -m rsae tune --host {wildcards.host} --teacher {wildcards.teacher} --arm {wildcards.arm}"
        " > {log} 2>&1"
