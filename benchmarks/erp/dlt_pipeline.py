"""Loads a set of the benchmark's server by dlt's `rest_api` source: SERVER SET DATABASE. Runs in dlt's environment.

The columns are those of erp.landed_records: the record as JSON beside its key and hash, and what is the same for all.
One worker of the load for each CPU; files, not inserts, wherever dlt can. Imports nothing of the platform.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from typing import Any

import dlt
from dlt.common.json import json as dlt_json
from dlt.sources.rest_api import rest_api_source

_COLUMNS: dict[str, Any] = {
    "raw": {"data_type": "json", "nullable": False},
    "partition_date": {"data_type": "date"},
    "changed_at": {"data_type": "timestamp"},
    "ingested_at": {"data_type": "timestamp"},
}


def row(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as a row of the same columns that the platform fills."""
    now = datetime.now(UTC)
    plain = {name: value for name, value in record.items() if "@" not in name}
    return {
        "system": "bench",
        "dataset": "financial_transactions",
        "partition_date": date(2026, 11, 20),
        "source_key": f"{record['dataAreaId']}/{record['GeneralJournalAccountEntryRecId']}",
        "raw": record,
        "hash": hashlib.sha256(dlt_json.dumpb(plain, sort_keys=True)).hexdigest(),
        "changed_at": now,
        "ingested_at": now,
        "run_id": "bench",
    }


def main(server: str, entity_set: str, url: str) -> None:
    """Load, and say how long it took."""
    name = f"dlt_{time.time_ns()}"
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            name, destination=dlt.destinations.postgres(url), dataset_name=name, pipelines_dir=folder
        )
        source = rest_api_source(
            {
                "client": {
                    "base_url": f"{server}/data/",
                    "paginator": {"type": "json_link", "next_url_path": "'@odata.nextLink'"},
                },
                "resources": [
                    {
                        "name": "landed_records",
                        "endpoint": {"path": entity_set, "data_selector": "value"},
                        "processing_steps": [{"map": row}],
                        "columns": _COLUMNS,
                        "write_disposition": "append",
                        "max_table_nesting": 0,
                    }
                ],
            }
        )
        begun = time.perf_counter()
        pipeline.run(source)
        seconds = time.perf_counter() - begun
        with pipeline.sql_client() as client:
            rows = client.execute_sql("SELECT count(*) FROM landed_records")[0][0]
            client.drop_dataset()
    sys.stdout.write(json.dumps({"seconds": seconds, "rows": rows, "version": dlt.__version__}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:4])
