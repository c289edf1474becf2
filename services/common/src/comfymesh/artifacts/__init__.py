"""Where bytes are kept: artifacts, assets, catalogs. Addressed by their SHA-256, in a store named by a URL."""
