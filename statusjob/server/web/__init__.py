"""The HTTP contract, by Klein."""
