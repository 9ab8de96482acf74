# `snakemake SUITE` and `snakemake HOST`: names from config/suites are targets.

for _name, _plan in PLANS.items():

    rule:
        name:
            _name
        input:
            _plan.targets(),

    for _host in _plan.suite.hosts:

        rule:
            name:
                _host
            input:
                lambda w, plan=_plan, host=_host: plan.targets(
                    host, lambda: checkpoints.preflight.get(suite=plan.name)
                ),


rule check:
    input:
        lambda w: PLANS["embedded"].targets(),
        lambda w: PLANS["embedded"].expected_file(),
    log:
        Paths("embedded").log("check"),
    message:
        "the embedded suite's numbers against those that are expected"
    shell:
        "python -m rsae check --suite embedded 2>&1 | tee {log}"


# `snakemake check_paper`: reported numbers against measured ones.
for _name, _plan in PLANS.items():
    if _plan.suite.reported:

        rule:
            name:
                f"check_{_name}"
            input:
                _plan.targets(),
            log:
                _plan.log("check_reported"),
            params:
                suite=_name,
            message:
                "{params.suite} against the numbers that the paper reports"
            shell:
                "python -m rsae check-reported --suite {params.suite} 2>&1 | tee {log}"
