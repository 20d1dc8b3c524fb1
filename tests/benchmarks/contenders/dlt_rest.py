"""dlt's `rest_api` source into its `filesystem` destination, JSON Lines, whole records (its quicker mode)."""

import os
from collections.abc import Callable

from tests.benchmarks.contenders.starting_line import Course, take_part


def prepare(course: Course) -> Callable[[], None]:
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"
    os.environ["NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION"] = "true"
    import dlt  # type: ignore[import-not-found]
    from dlt.sources.rest_api import rest_api_source  # type: ignore[import-not-found]

    source = rest_api_source(
        {
            "client": {
                "base_url": course.url,
                "paginator": {"type": "cursor", "cursor_path": "paging.next.after", "cursor_param": "after"},
            },
            "resources": [
                {
                    "name": "records",
                    "endpoint": {
                        "path": "cursor/records",
                        "params": {"limit": course.size},
                        "data_selector": "results",
                    },
                }
            ],
        },
        max_table_nesting=0,
    )
    pipeline = dlt.pipeline(
        "race",
        pipelines_dir=str(course.folder / "pipelines"),
        destination=dlt.destinations.filesystem(bucket_url=(course.folder / "out").as_uri()),
        dataset_name="vendor",
    )
    return lambda: pipeline.run(source, loader_file_format="jsonl")


if __name__ == "__main__":
    take_part(prepare)
