from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import subprocess
import sys

import pytest

linux = sys.platform == "linux"

# What is written beyond so many bytes a file fails as on a full disk, for where no file system may be mounted.
LIMIT_FILES = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))\n"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Runs commands in processes of their own that can be killed."""
    if not linux:
        pytest.skip("processes are looked into as Linux has it")
    from benchmarks.zygote import zygote

    with zygote(tmp_path_factory.mktemp("commands")) as started:
        yield started


@pytest.fixture(scope="session")
def campaign(server, tmp_path_factory):
    """Tiny data before and after each stage, as a run that nothing disturbed leaves them."""
    from benchmarks.chaos import Campaign

    prepared = Campaign(tmp_path_factory.mktemp("campaign"), server, random.Random(0), iterations=8)
    prepared.prepare()
    return prepared


@pytest.fixture
def before(campaign, tmp_path):
    """A copy of the data as they are before a stage."""

    def copy(stage):
        shutil.copytree(campaign.before[stage.name], tmp_path / "root", symlinks=True)
        return tmp_path / "root"

    return copy


@pytest.fixture
def run(server):
    """Run a stage of a root folder; a command never ends with a traceback."""
    from benchmarks.chaos import TINY

    def call(stage, root, *more, inject="", timeout=600):
        outcome = server.run(stage.command, [*stage.of(root), *more], TINY + inject, timeout)
        assert "Traceback" not in outcome.err, outcome.err
        assert "internal error" not in outcome.err, outcome.err
        return outcome

    return call


@pytest.fixture
def small_disk():
    """A folder becomes a file system with so many bytes free; where that may not be mounted, files are limited instead.

    Gives the fault to inject into the command, "" where the file system is real.
    """
    mounted = []

    def shrink(folder, free, read_only=False):
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder.with_name(folder.name + " kept")
        folder.rename(kept)
        folder.mkdir()
        used = sum(-(-p.stat().st_size // 4096) * 4096 + 4096 for p in kept.rglob("*") if not p.is_symlink())
        size = f"size={max(used + free, 4096)}"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], capture_output=True, check=False)
        if done.returncode == 0:
            mounted.append(folder)
        shutil.copytree(kept, folder, dirs_exist_ok=True, symlinks=True)
        shutil.rmtree(kept)
        if done.returncode == 0:
            # Exactly so many pages are left.
            stat = os.statvfs(folder)
            spare = stat.f_bavail * stat.f_frsize - free
            if spare > 0:
                (folder / ".filling").write_bytes(bytes(spare))
            if read_only:
                subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
            return ""
        return "" if read_only else LIMIT_FILES.format(free)

    yield shrink
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=False)


@pytest.fixture
def enlarge():
    """Undo `small_disk`: its content, on the disk around."""

    def undo(folder):
        with contextlib.suppress(FileNotFoundError):
            (folder / ".filling").unlink()
        if os.path.ismount(folder):
            kept = folder.with_name(folder.name + " kept")
            shutil.copytree(folder, kept, symlinks=True)
            subprocess.run(["umount", "-l", folder], check=True)
            folder.rmdir()
            kept.rename(folder)

    return undo


@pytest.fixture
def limit_memory():
    """Python for a command's process: it may take so many bytes more than it has."""
    assert resource.RLIMIT_AS

    def inject(more):
        return (
            "import resource\n"
            "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
            f"resource.setrlimit(resource.RLIMIT_AS, (used + {more}, used + {more}))\n"
        )

    return inject
