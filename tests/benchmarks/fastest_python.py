"""The Python to measure with: of those of our version on this machine, the one that was built best.

The image's Python, as a distribution's, is built with profile-guided optimisation. pyenv builds without, and then the
interpreter takes a fifth longer, for us and for all that we race against: figures of such a Python are of nothing that
anybody deploys. Which is which is not told by any Python, so it is measured.

    python -m tests.benchmarks.fastest_python      # prints its path
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAME = f"python{sys.version_info.major}.{sys.version_info.minor}"
_CLEARLY = 0.95
"""Of the time of our own Python; who is hardly faster is not worth another environment."""

_LOAD = """
import sys, time
class Page:
    def __init__(self, number): self.number = number
    def count(self): return self.number + 1
def walk(many):
    total = 0
    for number in range(many):
        page = Page(number)
        total += page.count() + len(str(number)) + {"size": number}["size"]
    return total
def took():
    begun = time.process_time()
    walk(20000)
    return time.process_time() - begun
print(min(took() for _ in range(15)), getattr(sys, "_base_executable", sys.executable))
"""


def own() -> Path:
    """The Python that our environment was made with."""
    return Path(sys.base_prefix) / "bin" / NAME


def candidates(path: str) -> list[Path]:
    """Ours first, then those named alike in the folders of `path` and where distributions put theirs."""
    folders = [*path.split(os.pathsep), "/usr/local/bin", "/usr/bin"]
    found = [shutil.which(NAME, path=folder) for folder in folders if folder]
    return list(dict.fromkeys([own(), *(Path(each) for each in found if each)]))


def measured(python: Path) -> tuple[float, Path] | None:
    """CPU seconds of a little work, and the program behind the name; None for one that cannot make environments."""
    try:
        subprocess.run([python, "-I", "-m", "pip", "--version"], check=True, capture_output=True, timeout=60)
        done = subprocess.run([python, "-I", "-c", _LOAD], check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    seconds, _, program = done.stdout.strip().partition(" ")
    return float(seconds), Path(program)


def fastest(pythons: list[Path]) -> Path:
    """The first, unless another is clearly faster."""
    all_measured = [found for found in map(measured, pythons) if found is not None]
    if not all_measured:
        return pythons[0]
    best = min(all_measured)
    return best[1] if best[0] < all_measured[0][0] * _CLEARLY else all_measured[0][1]


if __name__ == "__main__":
    sys.stdout.write(f"{fastest(candidates(os.environ.get('PATH', '')))}\n")
