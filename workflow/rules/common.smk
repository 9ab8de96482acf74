# What rules share.


def waiting_for(job):
    """A job's inputs, and what must be there before it but is no reason to run it again."""
    return [*job.inputs, *(ancient(str(path)) for path in job.after)]
