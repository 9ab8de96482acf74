"""A Slurm of one node with one GPU that is none, in a folder of its own: started by a test and ended with it."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.containers.engines import call, install

# no accounting, no cgroups: what a machine without systemd can do
SETTINGS = """
ClusterName=test
SlurmctldHost={host}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
MinJobAge=36000
GresTypes=gpu
NodeName={host} CPUs={cpus} RealMemory={megabytes} Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


PLACE = Path("/etc/slurm")  # a job of Snakemake's is started without any variable of Slurm's, SLURM_CONF among them


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """While it is open, sbatch and squeue talk to it."""
    install(slurmctld="slurm-wlm", munged="munge")
    if os.geteuid() != 0:
        pytest.skip("slurmd runs jobs of any user: run this test as root")
    if PLACE.joinpath("slurm.conf").exists():
        pytest.skip(f"this machine has a Slurm of its own in {PLACE}")
    PLACE.mkdir(exist_ok=True)
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir()
    folder.chmod(0o755)
    host, cpus = socket.gethostname().split(".")[0], os.cpu_count()
    megabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 9 // 10 // 2**20
    ports = [free_port(), free_port()]
    (folder / "slurm.conf").write_text(SETTINGS.format(**locals()))
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")
    links = [PLACE / name for name in ("slurm.conf", "gres.conf")]
    for link in links:
        link.symlink_to(folder / link.name)
    call(program("mungekey"), "--create", "--keyfile", folder / "munge/key")
    munge = [f"--{name}={folder}/munge/{name}" for name in ("pid-file", "seed-file", "log-file")]
    daemons = [
        [
            "munged",
            "--foreground",
            "--force",
            f"--socket={folder}/munge.socket",
            f"--key-file={folder}/munge/key",
            *munge,
        ],
        ["slurmctld", "-D"],
        ["slurmd", "-D"],
    ]
    started = []
    try:
        for command in daemons:
            with open(folder / f"{command[0]}.log", "w") as log:
                daemon = [program(command[0]), *command[1:]]
                started.append(subprocess.Popen(daemon, stdout=log, stderr=subprocess.STDOUT))
            time.sleep(1)
        deadline = time.monotonic() + 60
        while "idle" not in subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True).stdout:
            if time.monotonic() > deadline:
                pytest.fail("".join(path.read_text()[-2000:] for path in folder.glob("*.log")))
            time.sleep(0.5)
        yield
    finally:
        for daemon in reversed(started):
            daemon.terminate()
            daemon.wait(60)
        for link in links:
            link.unlink()


def jobs() -> list[dict[str, str]]:
    """Every job that it has seen, as `scontrol` shows it."""
    shown = call("scontrol", "show", "jobs", "--oneliner")
    return [dict(re.findall(r"(\w+)=(\S*)", line)) for line in shown.splitlines()]


def program(name: str) -> str:
    """Daemons lie outside many a user's PATH."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or name


def free_port() -> int:
    """Free a moment ago."""
    with socket.socket() as found:
        found.bind(("", 0))
        return found.getsockname()[1]
