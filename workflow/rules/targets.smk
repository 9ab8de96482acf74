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
