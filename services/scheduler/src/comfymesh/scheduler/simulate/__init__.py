"""Replays a trace of requests in virtual time: `python -m comfymesh.scheduler.simulate`."""
