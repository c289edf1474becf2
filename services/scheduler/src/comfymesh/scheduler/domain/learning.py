"""What an attempt that has ended tells of how long things take."""

from __future__ import annotations

from comfymesh.scheduler.domain.estimates import Estimates
from comfymesh.scheduler.domain.events import Run
from comfymesh.tasks import usage
from comfymesh.tasks.record import Work


def learn(estimates: Estimates, run: Run) -> None:
    """Let estimates learn from an attempt, as far as it ran: its loads, and its run where that came to a good end."""
    timing = run.timing
    if timing is None:
        return
    loaded, ran = usage.executed(None, timing, run.time)  # Agents may say anything, and prices are roots.
    if timing.loaded:
        estimates.learn_load(timing.loaded, loaded)
    if run.succeeded and ran > 0:
        models = tuple(model for model in run.models if not estimates.is_patched_in(model))
        work = Work(run.shape, run.units)
        estimates.learn_run(models, work, run.key.tenant, timing.gpu_class, ran)
