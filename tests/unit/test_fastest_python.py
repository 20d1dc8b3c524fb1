"""Which Python `make bench` measures with."""

from pathlib import Path

from tests.benchmarks.fastest_python import NAME, candidates, fastest, own


def python(folder: Path, name: str, said: str, *, has_pip: bool = True) -> Path:
    """A program that stands in for one: `said` is what it prints."""
    folder.mkdir(exist_ok=True)
    made = folder / name
    made.write_text(f'#!/bin/sh\nif [ "$2" = -m ]; then exit {0 if has_pip else 1}; fi\necho "{said}"\n')
    made.chmod(0o755)
    return made


def test_the_fastest_that_can_make_environments_is_taken(tmp_path: Path) -> None:
    ours = python(tmp_path, "ours", "0.010 /ours")
    bare = python(tmp_path, "bare", "0.001 /bare", has_pip=False)
    built_well = python(tmp_path, "well", "0.006 /a folder/well")
    gone = tmp_path / "gone"
    assert fastest([ours, bare, gone, built_well]) == Path("/a folder/well")


def test_ours_stays_where_none_is_clearly_faster(tmp_path: Path) -> None:
    ours = python(tmp_path, "ours", "0.010 /ours")
    alike = python(tmp_path, "alike", "0.0097 /alike")
    assert fastest([ours, alike]) == Path("/ours")
    assert fastest([tmp_path / "gone"]) == tmp_path / "gone"


def test_ours_comes_first_and_then_the_path(tmp_path: Path) -> None:
    there = python(tmp_path / "bin", NAME, "0.010 /there")
    python(tmp_path / "other", "python2.7", "0.001 /other")
    found = candidates(f"{tmp_path / 'other'}:{tmp_path / 'bin'}::{tmp_path / 'none'}")
    assert found[:2] == [own(), there]
