"""Who runs the embedded servers. PostgreSQL refuses to run as root, and a broker has no need to be root."""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from app.local.errors import LocalError

_NAME = "nobody"  # exists on every system; creating an account would change the machine


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
    test = ["test", "-r", str(path), "-a", "-x", str(path)]
    return (
        subprocess.run(test, user=account.uid, group=account.gid, extra_groups=[], cwd="/", check=False).returncode == 0
    )


def hand_over(path: Path, account: Account | None) -> None:
    """Make a private folder the account's own."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    give(path, account)


def give(path: Path, account: Account | None) -> None:
    if account is not None:
        os.chown(path, account.uid, account.gid)


def usable_copy(tree: Path, needed: Path, account: Account | None) -> Path:
    """`tree`, or a copy of it that the account can use where `tree` lies below a closed folder such as /root.

    `needed` is a file of the tree, relative, that must be executable. The copy is root's and made once.
    """
    if can_use(account, tree / needed):
        return tree
    copy = Path("/var/cache/haulage") / f"{tree.name}-{(tree / needed).stat().st_mtime_ns}"
    if not can_use(account, copy / needed):
        copy.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        partial = copy.with_name(f"{copy.name}.{os.getpid()}")
        shutil.copytree(tree, partial, symlinks=True)
        for path in [partial, *partial.rglob("*")]:
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444))
        shutil.rmtree(copy, ignore_errors=True)
        partial.rename(copy)
    return copy
