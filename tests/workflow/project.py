"""A copy of the project, with Snakemake run in it as a user would."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub import nobodys

ROOT = Path(__file__).resolve().parents[2]


class Project:
    """A clone of the working tree, with Snakemake run in it as a user would."""

    def __init__(self, folder: Path) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.splitlines()  # fmt: skip
        for name in listed:
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        self.folder = folder

    def call(self, *command: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        bin_folder = Path(sys.executable).parent
        environment = nobodys() | {"PATH": f"{bin_folder}:{os.environ['PATH']}"} | env
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=environment)
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)} failed\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
        return done

    def snakemake(self, *arguments: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        return self.call("snakemake", *arguments, check=check, **env)

    def rsae(self, *arguments: str, check: bool = False, **env: str) -> subprocess.CompletedProcess[str]:
        return self.call(sys.executable, "-m", "rsae", *arguments, check=check, **env)

    def planned(self, *targets: str, **env: str) -> set[str]:
        """The stage commands that a dry run would execute, without redirections."""
        done = self.snakemake(*targets, "--dry-run", "--printshellcmds", check=True, **env)
        commands = re.findall(
            r"^\s*Shell command: .*?python -m rsae (.*?)(?: 2?>.*)?$", done.stdout + done.stderr, re.M
        )
        return set(commands)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text, f"{old!r} is not in {name}"
        (self.folder / name).write_text(text.replace(old, new))
