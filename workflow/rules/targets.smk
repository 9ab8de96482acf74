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
                _plan.targets(_host),


rule check:
    input:
        PLANS["embedded"].targets(),
        PLANS["embedded"].expected_file(),
    log:
        "results/logs/embedded/check.log",
    shell:
        "python -m rsae check --suite embedded 2>&1 | tee {log}"
