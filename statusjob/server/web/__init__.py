"""
The HTTP contract: every route, by Klein.
"""
