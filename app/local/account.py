"""Who runs the embedded servers. PostgreSQL refuses to run as root, and a broker has no need to be root."""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.local.errors import LocalError

_NAME = "nobody"  # exists on every system; creating an account would change the machine
_COPIES = Path("/var/cache/haulage")


@dataclass(frozen=True)
class Account:
    uid: int
    gid: int


def server_account() -> Account | None:
    """None: run the servers as ourselves. As root: the unprivileged account."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_NAME)
    except KeyError:
        raise LocalError(
            f"running as root needs the system user {_NAME!r} for PostgreSQL; run as another user"
        ) from None
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def can_use(account: Account | None, path: Path) -> bool:
    """Whether that account may enter (a folder) or execute (a file) `path`, as the kernel sees it."""
    if account is None:
        return os.access(path, os.R_OK | os.X_OK)
    return _test(account, "-r", str(path), "-a", "-x", str(path))


def can_enter(account: Account | None, folder: Path) -> bool:
    """Whether that account may pass through `folder` and everything above it."""
    if account is None:
        return os.access(folder, os.X_OK)
    return _test(account, "-x", str(folder))


def hand_over(path: Path, account: Account | None) -> None:
    """Make a private folder the account's own."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    give(path, account)


def give(path: Path, account: Account | None) -> None:
    if account is not None:
        os.chown(path, account.uid, account.gid)


def usable(site: Path, program: str, parts: Sequence[str], account: Account | None) -> Path:
    """`site / program`, or a copy of it where `site` lies below a closed folder such as /root.

    `parts` are the folders below `site` that the program needs. The copy is root's, made once for each version.
    """
    if can_use(account, site / program):
        return site / program
    digest = hashlib.sha256((site / program).read_bytes()).hexdigest()[:16]
    copy = _COPIES / f"{Path(program).name}-{digest}"
    if not can_use(account, copy / program):
        _copy_for_all(site, parts, copy)
    return copy / program


def _copy_for_all(site: Path, parts: Sequence[str], copy: Path) -> None:
    """Under another name until it is whole, so that two at once do no harm."""
    unfinished = copy.with_name(f"{copy.name}.{os.getpid()}")
    try:
        for part in parts:
            shutil.copytree(site / part, unfinished / part, symlinks=True)
        for path in [_COPIES, unfinished, *unfinished.rglob("*")]:
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)
        if not copy.exists():
            unfinished.rename(copy)
    except OSError as error:
        raise LocalError(f"root's servers run as {_NAME!r}, who cannot enter {site}, and no copy: {error}") from error


def _test(account: Account, *words: str) -> bool:
    """What test(1) says when that account asks the kernel."""
    done = subprocess.run(["test", *words], user=account.uid, group=account.gid, extra_groups=[], cwd="/", check=False)
    return done.returncode == 0
