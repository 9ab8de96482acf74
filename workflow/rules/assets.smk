# The committed host and teachers, trained again into results/assets. Nothing here writes below
# assets/: `python -m rsae promote-assets` does, when a person decides so.


rule embedded_assets:
    input:
        ASSETS.files(),


rule train_text:
    output:
        ASSETS.text_files(),
        "results/assets/text/manifest.json",
    log:
        "results/logs/assets/text.log",
    params:
        made_by=ASSETS.text().fingerprint,
    shell:
        "python -m rsae train-text > {log} 2>&1"


rule train_host:
    input:
        ASSETS.host().inputs,
    output:
        [f"results/assets/host/{name}" for name in (*HOST_FILES, "card.json")],
    log:
        "results/logs/assets/host.log",
    threads: 2
    resources:
        runtime=lambda w, attempt: attempt * LONG,
    params:
        made_by=ASSETS.host().fingerprint,
    shell:
        "OMP_NUM_THREADS={threads} python -m rsae train-host > {log} 2>&1"


rule train_activations:
    input:
        lambda w: ASSETS.activations(w.split).inputs,
    output:
        directory("results/assets/activations/{split}"),
    log:
        "results/logs/assets/activations/{split}.log",
    resources:
        runtime=lambda w, attempt: attempt * LONG,
    params:
        made_by=lambda w: ASSETS.activations(w.split).fingerprint,
    shell:
        "python -m rsae train-activations --split {wildcards.split} > {log} 2>&1"


rule train_teacher:
    input:
        lambda w: ASSETS.teacher(w.teacher).inputs,
    output:
        [
            f"results/assets/teachers/{{teacher}}/{name}"
            for name in (*SAE_FILES, "card.json")
        ],
    log:
        "results/logs/assets/teachers/{teacher}.log",
    resources:
        runtime=lambda w, attempt: attempt * LONG,
    params:
        made_by=lambda w: ASSETS.teacher(w.teacher).fingerprint,
    shell:
        "python -m rsae train-teacher --teacher {wildcards.teacher} > {log} 2>&1"
