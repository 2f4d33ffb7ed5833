"""Which system user runs the embedded engines, and where its files may lie.

PostgreSQL refuses to run as root. An ordinary user runs the engines as itself; root lends them to an unprivileged
account (`nobody`, or the one named by CHENGXIN_ENGINE_USER). That account must be able to walk to the data and to the
binaries, and a root-only folder such as /root or a `mktemp -d` is closed to it. Nobody's permissions are loosened for
that: data and binaries then lie in /var/tmp, and a symbolic link in the chosen folder leads to the data.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ENGINE_USER = "CHENGXIN_ENGINE_USER"
OPEN_FOLDER = Path("/var/tmp")


class EngineFailed(RuntimeError):
    """An embedded engine did not do what it was told; the text carries its own log."""


@dataclass(frozen=True)
class EngineUser:
    """The account of the engines. `lent` is true when we are root and the engines are not."""

    uid: int
    gid: int
    lent: bool

    @classmethod
    def current(cls) -> EngineUser:
        """Ourselves, or as root the unprivileged account."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), lent=False)
        account = pwd.getpwnam(os.environ.get(ENGINE_USER, "nobody"))
        if account.pw_uid == 0:
            raise EngineFailed(f"{ENGINE_USER} must not be root")
        return cls(account.pw_uid, account.pw_gid, lent=True)

    def run(
        self, command: Sequence[str | Path], *, timeout_s: float, environ: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Run to the end as this account; answers (exit code, output). A daemon left behind keeps no pipe of ours."""
        clean = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **(environ or {})}
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=clean,
                timeout=timeout_s,
                start_new_session=True,
                check=False,
                **({"user": self.uid, "group": self.gid, "extra_groups": []} if self.lent else {}),  # type: ignore[call-overload]
            )
            output.seek(0)
            return done.returncode, output.read().decode("utf-8", "replace")

    def can_reach(self, path: Path) -> bool:
        """Whether every folder above `path` lets the account through."""
        return not self.lent or all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)

    def own_folder(self, wanted: Path) -> Path:
        """A private folder of the account at `wanted`, or behind a link at `wanted` when the way there is closed."""
        if wanted.is_symlink() and not wanted.exists():
            wanted.unlink()
        if not wanted.exists():
            if self.can_reach(wanted):
                wanted.mkdir(mode=0o700, parents=True)
            else:
                wanted.symlink_to(tempfile.mkdtemp(prefix="chengxin-", dir=OPEN_FOLDER))
            self.give(wanted)
        return wanted.resolve()

    def give(self, path: Path) -> None:
        """Hand `path` to the account."""
        if self.lent:
            os.chown(path, self.uid, self.gid)

    def reachable_copy(self, tree: Path, name: str, *, parts: Sequence[str]) -> Path:
        """`tree` itself, or a root-owned copy of its `parts` in an open folder when the way to `tree` is closed."""
        if self.can_reach(tree / parts[0] / "x"):
            return tree
        copy = OPEN_FOLDER / f"chengxin-{name}"
        if copy.exists():
            if copy.stat().st_uid != 0:
                raise EngineFailed(f"{copy} exists and is not root's own")
            return copy
        fresh = Path(tempfile.mkdtemp(prefix=f"chengxin-{name}-", dir=OPEN_FOLDER))
        for part in parts:
            shutil.copytree(tree / part, fresh / part, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
        fresh.chmod(0o755)
        try:
            fresh.rename(copy)
        except OSError:
            shutil.rmtree(fresh)
        return copy
