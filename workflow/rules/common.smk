# What rules share.


def waiting_for(job):
    """A job's inputs, and the verdict that it waits for.

    Not ancient(): beside a job that runs again Snakemake 9.27 overlooks what waits for it so, whatever its own reasons.
    """
    return [*job.inputs, *job.after]
