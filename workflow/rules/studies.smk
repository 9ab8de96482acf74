# The atlas of gate fits and the theory: they read no data and hang on no suite.


rule gates:
    input:
        studies.gates().inputs,
    output:
        studies.gate_files(),
    log:
        "results/logs/gates/atlas.log",
    params:
        made_by=studies.gates().fingerprint,
    shell:
        "python -m rsae gates > {log} 2>&1"


rule theory:
    output:
        studies.theory_files(),
    log:
        "results/logs/theory.log",
    params:
        made_by=studies.theory().fingerprint,
    shell:
        "python -m rsae theory > {log} 2>&1"
