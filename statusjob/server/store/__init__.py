"""
The store: the database, and the only place that knows SQL.

L{statusjob.server.store.interface} says what a store promises, L{statusjob.server.store.sqlite}
implements it, and L{statusjob.server.store.batches} lets many calls share a transaction. What is
about SQLite alone is in C{single_process}, C{sqlite_connection}, C{sqlite_file}, C{inodes},
C{sqlite_upkeep} and C{page_cache}. C{outage} and C{readiness} tell whether the database works.

The other modules hold functions of a transaction, each module about one thing: jobs (C{jobs},
C{job_lists}, C{due_jobs}, C{timeline}, C{past_durations}), webhooks (C{webhooks},
C{webhook_secrets}, C{origins}, C{url_pauses}), the outbox (C{outbox_write}, C{outbox_claim},
C{outbox_settle}, C{delivery_log}), their ids (C{ids}), and the database itself (C{schema},
C{migrations}, C{retention}).
"""
