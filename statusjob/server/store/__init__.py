"""
The store: the database, and the only place that knows SQL.

L{statusjob.server.store.interface} says what it promises, L{statusjob.server.store.sqlite}
implements it; the other modules hold the SQL, one module for each noun.
"""
