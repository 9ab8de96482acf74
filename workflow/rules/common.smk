# How rules ask the plan. A rule names a stage; its wildcards are the stage's parameters.


AT = Paths(
    "{suite}"
)  # where everything of a suite lies; with wildcards for names, the pattern of a rule
PAIR = ("{host}", "{teacher}")
CELL = ("{host}", "{teacher}", "{arm}")


def asked():
    """Targets that stand in the command line; none where it is not Snakemake's."""
    if Path(sys.argv[0]).name not in ("snakemake", "__main__.py"):
        return []
    return get_argument_parser().parse_known_args(sys.argv[1:])[0].targets


def job(stage, wildcards, **given):
    """What the plan of a suite says of a stage. `address` is what rules call host, HOST or HOST/SITE."""
    method = getattr(PLANS[wildcards.suite], stage)
    for parameter in inspect.signature(method).parameters:
        wildcard = {"address": "host"}.get(parameter, parameter)
        if wildcard in wildcards.keys():
            given[parameter] = wildcards[wildcard]
    return method(**given)


def inputs(stage):
    """What a stage reads."""
    return lambda wildcards: job(stage, wildcards).inputs


def inputs_of_runnable(stage):
    """What a stage reads over all pairs that are run, which the preflight says."""

    def found(wildcards):
        preflight = lambda: checkpoints.preflight.get(suite=wildcards.suite)
        return job(stage, wildcards, preflight=preflight).inputs

    return found


def made_by(stage):
    """What a rerun depends on beside the inputs: settings, code of the stage, lock file."""
    return lambda wildcards: job(stage, wildcards).fingerprint


def memory(wildcards, attempt):
    """MB to ask a cluster for; more after a failure."""
    return attempt * PLANS[wildcards.suite].memory_mb(wildcards.host)


def long(wildcards, attempt):
    """Minutes that a cluster gives a long job."""
    return attempt * 240


class Finetunes:
    """What one job trains: all seeds of an arm, or of all arms of a pair where the suite says `together`."""

    def __init__(self, plan, host, teacher, arm):
        arms = plan.tuned_arms(host, teacher) if arm is None else [arm]
        self.plan, self.of = plan, {"host": host, "teacher": teacher, "arm": arm}
        name = teacher if arm is None else f"{teacher}-{arm}"
        self.name = "_".join([plan.name, *([host, teacher] if arm is None else [])])
        self.outputs = [
            file
            for a in arms
            for seed in plan.suite.seeds
            for file in (
                *plan.sae_files(host, teacher, a, seed),
                plan.training(host, teacher, a, seed),
            )
        ]
        self.log = plan.log(host, "finetune", name)
        self.benchmark = plan.benchmark("finetune", host, name)
        words = {word: value for word, value in self.of.items() if value is not None}
        self.options = " ".join(f"--{word} {value}" for word, value in words.items())
        n = len(plan.suite.seeds)
        self.message = f"fine-tune {arm or 'all arms'} of {host}/{teacher}, {n} seed{'s' * (n > 1)}"

    def _given(self, wildcards):
        return self.of | dict(wildcards.items())

    def job(self, wildcards):
        return self.plan.finetune(**self._given(wildcards))

    def memory_mb(self, wildcards):
        return self.plan.memory_mb(self._given(wildcards)["host"])


def finetunes(plan):
    """The groups of a suite: with wildcards, or one for each pair."""
    if plan.suite.finetune.together:
        return [Finetunes(plan, *pair, None) for pair in plan.trained_pairs()]
    return [Finetunes(plan, *CELL)]
