"""What `make up` prints: where everything is, the credentials once, and a tour to copy and paste."""

import json
import shlex

from app.local.stack import Stack
from app.local.tenant import Tenant


def guide(stack: Stack, sandbox_url: str, *, flower_login: str) -> str:
    user, _, password = flower_login.partition(":")
    running = shlex.quote(str(stack.home.folder / "running.env"))
    return f"""
  API         {stack.api_url}/elements/api-v2
  Swagger UI  {stack.api_url}/docs
  Flower      {stack.flower_url}    user {user}, password {password}
  Sandbox     {sandbox_url}    a vendor to try downloads against; its manual is at that address
  Data, logs  {stack.home.folder}

  Operate it from another terminal:
    set -a; . {running}; set +a
    .venv/bin/haulage --help
"""


def later_guide(organisation: str, user: str) -> str:
    """Shown at every later start, in the place of the tour."""
    return f"""\
  The credentials of organisation `{organisation}`, user `{user}`, were shown at the first start. Further ones:
    .venv/bin/haulage token create --org {organisation}
    .venv/bin/haulage token create --org {organisation} --user {user}
"""


def tour(api_url: str, sandbox_url: str, tenant: Tenant) -> str:
    """Shown at the first start only: the secrets are stored hashed and cannot be shown again."""
    instance = json.dumps(
        {
            "name": "try it",
            "element": {"key": "sandbox"},
            "configuration": {"base_url": sandbox_url, "username": "try-it"},
        }
    )
    job = json.dumps({"objectName": "records", "format": "application/jsonl"})
    authorization = f"User {tenant.user_secret}, Organization {tenant.organisation_secret}"
    return f"""\
  Credentials of organisation `{tenant.organisation}`, user `{tenant.user}`. They are shown only now:
    User          {tenant.user_secret}
    Organization  {tenant.organisation_secret}

  A tour to copy into another terminal:

    API={api_url}/elements/api-v2
    AUTH='Authorization: {authorization}'

    # an instance: your authenticated connection to a vendor
    TOKEN=$(curl -s $API/instances -H "$AUTH" -H 'Content-Type: application/json' \\
      -d '{instance}' | python3 -c 'import json, sys; print(json.load(sys.stdin)["token"])')
    AUTH="$AUTH, Element $TOKEN"

    # a bulk download, its state, its file
    JOB=$(curl -s $API/bulk/download -H "$AUTH" -H 'Content-Type: application/json' \\
      -d '{job}' | python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')
    until curl -s $API/bulk/$JOB/status -H "$AUTH" | grep -E 'COMPLETED|ABORTED'; do sleep 1; done
    curl -s $API/bulk/$JOB/records -H "$AUTH" | head -3
"""
