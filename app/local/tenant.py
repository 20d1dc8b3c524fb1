"""Makes an organisation and a user with the command line, as an operator would."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.local import procfile
from app.local.errors import LocalError


@dataclass(frozen=True)
class Tenant:
    """An organisation, a user of it, and their secrets, which the product shows only now."""

    organisation: str
    user: str
    organisation_secret: str = field(repr=False)
    user_secret: str = field(repr=False)

    @property
    def authorization(self) -> str:
        """Value of the Authorization header of platform calls."""
        return f"User {self.user_secret}, Organization {self.organisation_secret}"


def create_tenant(environment: Mapping[str, str], *, organisation: str, user: str) -> Tenant:
    """Raises LocalError, also if they exist already."""
    org = haulage(environment, "org", "create", organisation, "--json")
    person = haulage(environment, "user", "create", "--org", organisation, user, "--json")
    return Tenant(organisation, user, organisation_secret=org["secret"], user_secret=person["secret"])


def organisation_exists(environment: Mapping[str, str], name: str) -> bool:
    return any(org["name"] == name for org in haulage(environment, "org", "list", "--json"))


def haulage(environment: Mapping[str, str], *words: str) -> Any:
    """What `haulage ... --json` printed. Raises LocalError with its own message."""
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec haulage "$@"', "haulage", *words],
        env=dict(environment),
        cwd=procfile.CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LocalError(f"`haulage {' '.join(words)}` failed: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)
