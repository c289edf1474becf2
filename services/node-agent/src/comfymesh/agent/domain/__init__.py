"""What the agent decides, without IO."""
