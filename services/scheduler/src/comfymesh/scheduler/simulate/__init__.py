"""Replays a trace of requests against scheduling policies, in virtual time: `python -m comfymesh.scheduler.simulate`."""
