"""Taking runs away for good."""

from __future__ import annotations

import shutil
from typing import Any

from basinet.tracking.mlflow_internals import hard_delete
from basinet.tracking.store import TrackingStore


def remove_run(store: TrackingStore, run: Any) -> None:
    """Remove a run and its artifacts; a server only puts it into its bin.

    Should this be interrupted, the run is in the bin and can be removed again.
    """
    run_id = run.info.run_id
    if run.info.lifecycle_stage == "active":
        store.client.delete_run(run_id)
    if store.folder is None:
        return
    folder = store.artifact_folder(run)
    if folder is not None:
        own = folder.parent if folder.parent.name == run_id else folder
        shutil.rmtree(own, ignore_errors=True)
    hard_delete(store.uri, run_id)
