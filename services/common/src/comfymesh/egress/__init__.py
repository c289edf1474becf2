"""Calls to addresses that callers name: only outwards, unless a setting says otherwise."""
