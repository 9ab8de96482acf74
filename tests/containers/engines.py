"""An engine on a machine that has none, under the names that docs/containers.md uses: `docker` and `apptainer`.

What only this machine needs stands here and in no file of the images: a base made by debootstrap, for no registry of
images is asked, and the settings of this machine's pip.
"""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUITE = "bookworm"  # the Debian below the pinned base; its Python is 3.11 too


def call(*command: str | Path, **options) -> str:
    """Run to the end; what it said if it failed."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        pytest.fail(f"{' '.join(map(str, command))} failed\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def install(**packages: str) -> None:
    """Packages of Debian, by a program of each; skips the test where that takes another user than root."""
    missing = [package for program, package in packages.items() if shutil.which(program.replace("_", "-")) is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip(f"needs {' '.join(missing)}: install them, or run this as root on Debian")
    call("apt-get", "update")
    call("apt-get", "install", "--yes", "--no-install-recommends", *missing)


def mirror() -> str:
    """Where this machine's Debian comes from."""
    lines = call("apt-get", "indextargets", "--format", "$(CREATED_BY) $(REPO_URI)").splitlines()
    return next(line.split()[1] for line in lines if line.startswith("Packages") and "security" not in line)


def base(folder: Path) -> Path:
    """A root directory with Python 3.11 and its headers, as the pinned base has."""
    include = "python3,python3-dev,python3-venv,ca-certificates"
    call("debootstrap", "--variant=minbase", f"--include={include}", SUITE, folder, mirror())
    for node in (folder / "dev").iterdir():  # an engine brings its own, and a user namespace can make none
        shutil.rmtree(node) if node.is_dir() and not node.is_symlink() else node.unlink()
    return folder


class Pip:
    """How pip finds packages on this machine: a configuration, and the files and folders that it names."""

    def __init__(self, folder: Path) -> None:
        lines = call("pip", "config", "list").splitlines()
        settings = dict(line.split("=", 1) for line in lines)
        found = {key.rpartition(".")[2]: value.strip("'") for key, value in sorted(settings.items())}
        self.config = folder / "pip.conf"
        self.config.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in found.items()))
        words = [word.removeprefix("file://") for value in found.values() for word in value.split()]
        places = {Path(word) for word in words if word.startswith("/") and Path(word).exists()}
        # an index's folder names files beside it
        self.places = sorted({str(p.parent if p.name == "simple" else p) for p in places})

    @property
    def mounts(self) -> dict[str, str]:
        """{here: there} of all of it."""
        return {str(self.config): "/etc/pip.conf"} | {place: place for place in self.places}

    def volumes(self, flag: str) -> list[str]:
        """Arguments that mount it, read-only."""
        return [f"{flag}={here}:{there}:ro" for here, there in self.mounts.items()]


def program(folder: Path, name: str, text: str) -> None:
    """A program of that name in ``folder``."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def docker(folder: Path, root: Path, pip: Pip) -> Path:
    """A folder for PATH in which `docker` is podman, for a root user in a sandbox without cgroups."""
    install(podman="podman", runc="runc")
    folder.mkdir()
    (folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    podman = f"podman --root={folder}/storage --runroot={folder}/run --runtime=runc --cgroup-manager=cgroupfs"
    podman += f" --storage-driver={'overlay' if _overlays(folder) else 'vfs'}"  # vfs copies gigabytes for each run
    with tarfile.open(folder / "base.tar", "w") as tar:
        tar.add(root, ".")
    call(*podman.split(), "import", folder / "base.tar", "localhost/base:latest")
    (folder / "base.tar").unlink()
    build = ["--isolation=chroot", "--network=host", "--layers=false", "--build-arg=BASE=localhost/base:latest"]
    build += [f"--signature-policy={folder}/policy.json", *pip.volumes("--volume")]
    run = "--network=host --ulimit=nofile=1024:1024 --ulimit=nproc=1024:1024"
    cases = f'build) exec {podman} build {" ".join(build)} "$@";; run) exec {podman} run {run} "$@";;'
    program(folder / "bin", "docker", f"command=$1; shift; case $command in {cases} esac")
    return folder / "bin"


def _overlays(folder: Path) -> bool:
    """Whether the kernel lets this user mount an overlay there."""
    places = {name: folder / f"overlay-{name}" for name in ("lower", "upper", "work", "merged")}
    for place in places.values():
        place.mkdir()
    options = ",".join(f"{name}dir={places[name]}" for name in ("lower", "upper", "work"))
    mount = ["mount", "-t", "overlay", "overlay", "-o", options, str(places["merged"])]
    if subprocess.run(mount, capture_output=True).returncode:
        return False
    call("umount", places["merged"])
    return True


def apptainer(folder: Path, root: Path, pip: Pip) -> Path:
    """A folder for PATH with `apptainer`: the machine's own, or Debian sid's with a libc of its own beside it."""
    install(mksquashfs="squashfs-tools", patchelf="patchelf")
    own = shutil.which("apptainer") or _from_sid(folder) / "usr/bin/apptainer"
    for here, there in pip.mounts.items():  # a mount needs a place
        place = root / there.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir(exist_ok=True) if Path(here).is_dir() else place.touch()
    build = f"--build-arg BOOTSTRAP=localimage --build-arg BASE={root} {' '.join(pip.volumes('--bind'))}"
    build += " --mksquashfs-args='-comp gzip -Xcompression-level 1'"  # a minute for five
    # root of a sandbox may lack a capability that Apptainer wants for %post; root of a user namespace has all
    program(
        folder / "bin",
        "apptainer",
        f'''[ "$1" = build ] || exec {own} "$@"
shift
unshare --user sleep 7200 &
keeper=$!
trap 'kill $keeper' EXIT
sleep 1
for map in uid_map gid_map; do echo "0 0 65536" > /proc/$keeper/$map; done
nsenter --user --target $keeper {own} build {build} "$@"''',
    )
    return folder / "bin"


def _from_sid(folder: Path) -> Path:
    """Debian's package of it, which stable lacks, in a prefix of its own."""
    for name in ("state/lists/partial", "cache/archives/partial", "debs", "prefix"):
        (folder / name).mkdir(parents=True)
    (folder / "sources.list").write_text(f"deb {mirror()} sid main\n")
    (folder / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{folder}/sources.list"; Dir::Etc::sourceparts "-"; Dir::State "{folder}/state";\n'
        f'Dir::State::status "/dev/null"; Dir::Cache "{folder}/cache"; APT::Sandbox::User "root";\n'
    )
    environment = os.environ | {"APT_CONFIG": str(folder / "apt.conf")}
    call("apt-get", "update", env=environment)
    packages = "apptainer libc6 libseccomp2 libsqlite3-0 zlib1g".split()
    call("apt-get", "download", *packages, env=environment, cwd=folder / "debs")
    prefix = folder / "prefix"
    for package in (folder / "debs").glob("*.deb"):
        call("dpkg-deb", "--extract", package, prefix)
    lib = prefix / "usr/lib/x86_64-linux-gnu"
    for binary in (prefix / "usr/bin/apptainer", lib / "apptainer/bin/starter"):
        call("patchelf", "--set-interpreter", lib / "ld-linux-x86-64.so.2", "--set-rpath", lib, binary)
    call("patchelf", "--set-rpath", lib, lib / "libsqlite3.so.0")
    (prefix / "var/lib/apptainer/mnt/session").mkdir(parents=True, exist_ok=True)
    for place, target in (("usr", ".."), ("usr/lib", "../..")):  # where its two programs look, moved out of /usr
        for name in ("etc", "var"):
            (prefix / place / name).symlink_to(f"{target}/{name}")
    settings = prefix / "etc/apptainer/apptainer.conf"
    line = "root default capabilities = "
    settings.write_text(settings.read_text().replace(f"{line}full", f"{line}no"))
    return prefix
