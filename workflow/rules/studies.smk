# The atlas of gate fits and the theory: they read no data and hang on no suite.


rule gates:
    input:
        studies.gates().inputs,
    output:
        studies.gate_files(),
    log:
        LOGS / "gates/atlas.log",
    params:
        made_by=studies.gates().fingerprint,
    message:
        "the atlas of gate fits"
    shell:
        "python -m rsae gates > {log} 2>&1"


rule theory:
    output:
        studies.theory_files(),
    log:
        LOGS / "theory.log",
    params:
        made_by=studies.theory().fingerprint,
    message:
        "the theorems against measured sizes and errors"
    shell:
        "python -m rsae theory > {log} 2>&1"
