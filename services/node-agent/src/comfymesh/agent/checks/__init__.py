"""`comfymesh-agent check`: finds out whether this host can serve, and says what to mend."""
