from __future__ import annotations

import json
import subprocess
import sys

from basinet.tracking.abandoned import close_abandoned
from basinet.tracking.process import HOST, process_tags
from basinet.tracking.store import TrackingStore

ANOTHER = "import json; from basinet.tracking.process import process_tags; print(json.dumps(process_tags()))"


def test_of_the_runs_that_are_open_those_whose_process_is_gone_are_closed(store: TrackingStore) -> None:
    gone = json.loads(subprocess.run([sys.executable, "-c", ANOTHER], capture_output=True, check=True).stdout)
    writers = {"gone": gone, "here": process_tags(), "elsewhere": {**gone, HOST: "another machine"}, "unknown": {}}
    here, other = store.experiment("this one"), store.experiment("another one")
    runs = {name: store.client.create_run(here, tags=tags) for name, tags in writers.items()}
    runs["not asked for"] = store.client.create_run(other, tags=gone)
    close_abandoned(store, here)
    statuses = {name: store.client.get_run(run.info.run_id).info.status for name, run in runs.items()}
    assert statuses.pop("gone") == "KILLED"
    assert set(statuses.values()) == {"RUNNING"}
