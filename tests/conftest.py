"""Plugins only: every fixture lives in tests/fixtures, one file per thing."""

pytest_plugins: list[str] = []
