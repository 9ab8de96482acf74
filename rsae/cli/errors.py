"""What a person is told when something is wrong: at most three lines that name the thing and the remedy."""

import errno

LINES = 3
LONG = 600  # characters of a line; beginning and end stay, where the thing and the remedy stand
FREE = "free some space and run the same line again"
ALLOW = "make it writable for you, or choose another folder (--results, or --out of upgrade)"
REMEDIES = {
    errno.ENOSPC: f"the disk is full; {FREE}",
    errno.EDQUOT: f"your quota is used up; {FREE}",
    errno.EROFS: f"the file system is read-only; {ALLOW}",
    errno.EACCES: f"permission denied; {ALLOW}",
    errno.EPERM: f"operation not permitted; {ALLOW}",
    errno.EMFILE: "too many open files; raise `ulimit -n` and run the same line again",
    errno.ENAMETOOLONG: "the name is too long for this file system; shorten it",
}


TRAINS = ("finetune", "tune", "upgrade")  # commands whose memory a batch decides


def sentence(error: Exception, command: str = "") -> str | None:
    """The message for a mistake or a fault of the machine; None for what can only be a bug, which keeps its traceback.

    A ValueError is this package's word for a mistake and says its remedy itself. ``command`` is the one that met it.
    """
    # by name: torch takes seconds to import, and only where it is imported can it have run out of memory
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        tokens = "tokens (--max-tok)" if command == "upgrade" else "`tokens`"
        where, less = f" for {command}" if command else "", "a smaller batch, " if command in TRAINS else ""
        return f"not enough memory{where}; close other programs, take {less}fewer {tokens} or a larger machine"
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return name + REMEDIES.get(error.errno or 0, f"{error.strerror or error}; run the same line again")
    if isinstance(error, ValueError):
        lines = str(error).splitlines() or [type(error).__name__]
        if len(lines) > LINES:
            lines[LINES - 1 :] = [f"and {len(lines) - LINES + 1} more"]
        return "\n".join(line if len(line) <= LONG else f"{line[: LONG // 2]} … {line[-LONG // 2 :]}" for line in lines)
    return None
