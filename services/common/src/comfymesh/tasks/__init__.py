"""The task machine: states, events, transitions and failure policies. Pure, and shared by api, scheduler and agent."""
