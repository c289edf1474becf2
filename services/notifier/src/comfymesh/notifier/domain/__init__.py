"""What the notifier knows and what it tells. No IO, no clock: `(state, event, now) -> notices`."""
