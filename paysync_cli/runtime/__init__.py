"""Puts the parts together from the settings: each is opened when first asked for, all are closed together.

Floor by floor: `stores` (database, Redis), `banks` on top of them, `work` (worker, dispatcher, leader) on top of those.
"""

from paysync_cli.runtime.work import Runtime, WorkerRun, worker_name

__all__ = ["Runtime", "WorkerRun", "worker_name"]
