"""What most people write: `requests`, decoded records, `json.dumps` a line."""

import json
from collections.abc import Callable

import requests

from tests.benchmarks.contenders.starting_line import Course, take_part


def prepare(course: Course) -> Callable[[], None]:
    session = requests.Session()

    def race() -> None:
        after: str | None = None
        with course.output.open("w") as file:
            while True:
                params = {"limit": str(course.size), **({"after": after} if after else {})}
                answer = session.get(f"{course.url}/cursor/records", params=params, timeout=60)
                answer.raise_for_status()
                page = answer.json()
                for record in page["results"]:
                    file.write(json.dumps(record) + "\n")
                after = page["paging"].get("next", {}).get("after")
                if after is None:
                    return

    return race


if __name__ == "__main__":
    take_part(prepare)
