"""
The store: the database, and the only place that knows SQL.

L{statusjob.server.store.interface} says what a store promises, L{statusjob.server.store.sqlite}
implements it, and L{statusjob.server.store.batches} lets many calls share a transaction. The other
modules hold functions of a transaction, each module about one thing: jobs (C{jobs}, C{job_lists},
C{due_jobs}, C{timeline}, C{past_durations}), webhooks (C{webhooks}, C{webhook_secrets},
C{origins}), the outbox (C{outbox_write}, C{outbox_claim}, C{outbox_settle}, C{delivery_log}), and
the database itself (C{schema}, C{retention}, C{single_process}, C{sqlite_file}).
"""
