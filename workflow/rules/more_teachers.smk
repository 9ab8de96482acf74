# Teachers that are trained by a target and never committed: second trainings of each kind, and stress cases; and
# what holds over all trainings of a kind.


rule more_teachers:
    input:
        MORE.files(),


rule more_activations:
    input:
        lambda w: MORE.activations(w.split).inputs,
    output:
        directory("results/teachers/activations/{split}"),
    log:
        "results/logs/teachers/activations/{split}.log",
    resources:
        runtime=lambda w, attempt: attempt * LONG,
    params:
        made_by=lambda w: MORE.activations(w.split).fingerprint,
    shell:
        "python -m rsae more-activations --split {wildcards.split} > {log} 2>&1"


rule more_teacher:
    input:
        lambda w: MORE.teacher(w.teacher).inputs,
    output:
        [f"results/teachers/{{teacher}}/{name}" for name in (*SAE_FILES, "card.json")],
    log:
        "results/logs/teachers/{teacher}.log",
    resources:
        runtime=lambda w, attempt: attempt * LONG,
    params:
        made_by=lambda w: MORE.teacher(w.teacher).fingerprint,
    shell:
        "python -m rsae more-teacher --teacher {wildcards.teacher} > {log} 2>&1"


rule families:
    input:
        lambda w: FAMILIES.tabulate().inputs,
    output:
        FAMILIES.files(),
    log:
        "results/logs/families.log",
    params:
        made_by=lambda w: FAMILIES.tabulate().fingerprint,
    shell:
        "python -m rsae families > {log} 2>&1"
