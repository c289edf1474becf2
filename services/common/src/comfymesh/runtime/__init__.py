"""What every process needs to start, run, log and stop well."""
