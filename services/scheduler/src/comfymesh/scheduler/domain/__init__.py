"""What the scheduler knows and how it decides. No IO, no clock: `(state, event, now) -> decisions`."""
