# What is trained here: the committed host and teachers once again, into results/assets, and teachers beside them, which
# are never committed. Nothing here writes below assets/: `python -m rsae promote-assets` does, when a person decides so.


rule embedded_assets:
    input:
        ASSETS.files(),


rule train_text:
    output:
        ASSETS.text_files(),
        ASSETS.root / "text/manifest.json",
    log:
        LOGS / "assets/text.log",
    params:
        made_by=ASSETS.text().fingerprint,
    message:
        "documents of every split for the embedded host and teachers"
    shell:
        "python -m rsae train-text > {log} 2>&1"


rule train_host:
    input:
        ASSETS.host().inputs,
    output:
        ASSETS.host_files(),
    log:
        LOGS / "assets/host.log",
    threads: 2
    resources:
        runtime=long,
    params:
        made_by=ASSETS.host().fingerprint,
    message:
        "train the embedded host"
    shell:
        "OMP_NUM_THREADS={threads} python -m rsae train-host > {log} 2>&1"


rule train_activations:
    input:
        lambda w: ASSETS.activations(w.split).inputs,
    output:
        directory(ASSETS.activations_folder("{split}")),
    log:
        LOGS / "assets/activations/{split}.log",
    resources:
        runtime=long,
    params:
        made_by=lambda w: ASSETS.activations(w.split).fingerprint,
    message:
        "activations of {wildcards.split} for the embedded teachers"
    shell:
        "python -m rsae train-activations --split {wildcards.split} > {log} 2>&1"


rule train_teacher:
    input:
        lambda w: ASSETS.teacher(w.teacher).inputs,
    output:
        ASSETS.teacher_files("{teacher}"),
    log:
        LOGS / "assets/teachers/{teacher}.log",
    resources:
        runtime=long,
    params:
        made_by=lambda w: ASSETS.teacher(w.teacher).fingerprint,
    message:
        "train the embedded teacher {wildcards.teacher}"
    shell:
        "python -m rsae train-teacher --teacher {wildcards.teacher} > {log} 2>&1"


# second trainings of each kind, and stress cases; and what holds over all trainings of a kind


rule more_teachers:
    input:
        MORE.files(),


rule more_activations:
    input:
        lambda w: MORE.activations(w.split).inputs,
    output:
        directory(MORE.activations_folder("{split}")),
    log:
        LOGS / "teachers/activations/{split}.log",
    resources:
        runtime=long,
    params:
        made_by=lambda w: MORE.activations(w.split).fingerprint,
    message:
        "activations of {wildcards.split} for further teachers"
    shell:
        "python -m rsae more-activations --split {wildcards.split} > {log} 2>&1"


rule more_teacher:
    input:
        lambda w: MORE.teacher(w.teacher).inputs,
    output:
        MORE.teacher_files("{teacher}"),
    log:
        LOGS / "teachers/{teacher}.log",
    resources:
        runtime=long,
    params:
        made_by=lambda w: MORE.teacher(w.teacher).fingerprint,
    message:
        "train the teacher {wildcards.teacher}"
    shell:
        "python -m rsae more-teacher --teacher {wildcards.teacher} > {log} 2>&1"


rule families:
    input:
        lambda w: FAMILIES.tabulate().inputs,
    output:
        FAMILIES.files(),
    log:
        LOGS / "families.log",
    params:
        made_by=lambda w: FAMILIES.tabulate().fingerprint,
    message:
        "what holds over all trainings of a kind"
    shell:
        "python -m rsae families > {log} 2>&1"
