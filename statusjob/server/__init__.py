"""
The map of the server. File names are relative to this directory.

C{tap.py} reads the options (C{settings.py} checks them), and C{service.py} makes all parts, starts
them in order and stops them in reverse. C{lanes.py} runs blocking work in threads, C{alarms.py}
does work when it is due, and C{errors.py} has the errors of the domain. C{turns.py} lets many do a
little at a time, and C{limits.py} counts and logs the limits that were reached.

B{The way of a report}, C{PATCH /jobs/ID}

 1. C{site/ports.py} has opened the ports. C{site/channels.py} bounds what a connection may
    take of time and memory, C{site/site.py} all of them together.
 2. C{web/root.py} refuses foreign hosts, and passes the request to its route.
 3. C{web/routing.py} has the route's authority checked by C{web/access.py}. Any error, here or
    later, becomes an answer in C{web/problems.py}.
 4. C{web/jobs.py} has the route. C{web/reading.py} decodes the body strictly, to the type that
    C{contract/jobs.py} declares (beside this directory).
 5. C{jobs/lifecycle.py} decides what the report changes, in a function that it gives to the store.
 6. C{store/sqlite.py} runs that function in a transaction, which C{store/batches.py} shares among
    all writes that wait.
 7. C{store/jobs.py} changes the job in one statement. C{store/timeline.py} adds an event, and
    C{store/outbox_write.py} a delivery for each webhook concerned.
 8. After the commit, C{feed.py} tells all listeners of the update: C{alarms.py},
    C{forecast/learner.py}, C{delivery/worker.py}, C{waiting/watchers.py} and
    C{web/ready_answers.py}.
 9. Only then the route goes on, and C{web/writing.py} writes the answer.

Jobs that nobody reports on end by C{jobs/due.py}, in the same way from step 6 on; whether the
server could have heard a report is known to C{jobs/listening.py}. C{jobs/expiry.py} deletes old
jobs.

B{The way of a delivery}

 1. C{webhooks/registry.py} registers a webhook, once C{delivery/guard.py} has found that its
    address may be reached.
 2. C{store/outbox_write.py} writes a delivery with the update that it is about (step 7 above).
 3. The feed wakes C{delivery/worker.py}, which works in rounds of one transaction each.
 4. C{store/outbox_claim.py} claims deliveries that are due. C{store/origins.py} knows how many
    attempts each origin may have, and whether it is paused, and C{store/url_pauses.py} whether a
    URL is.
 5. C{delivery/attempt.py} signs the body, and C{delivery/poster.py} posts it within one deadline.
 6. C{delivery/guard.py} has the name looked up by C{delivery/resolver.py}, judges the addresses,
    and dials.
 7. C{delivery/connection.py} sends the request, and reads little more than the status.
 8. The next round stores the outcome: C{store/outbox_settle.py} delivers, retries or gives up.
 9. C{store/delivery_log.py} shows deliveries and attempts, and C{webhooks/redelivery.py} lets
    them be sent again.

The docstring of C{delivery/__init__.py} explains the whole machine.

B{The way of a poll}, C{GET /jobs/ID/status}

 1. Steps 1 to 3 are those of a report.
 2. C{web/jobs.py} has the route. C{web/waiting.py} has the state read, and C{web/preferences.py}
    reads how long the client prefers to wait.
 3. C{jobs/lifecycle.py} has the store read what a poll needs (C{store/jobs.py}), on a lane and a
    connection that no write holds up.
 4. If the client prefers to wait and knows the state, C{waiting/held_request.py} waits in
    C{waiting/watchers.py}, which it had entered before the read, so that no update is missed.
 5. An update that the feed tells of, the end of the time, or a stop of the server wakes it.
 6. C{forecast/learner.py} says when asking again is worth it, from the outlook of the job's kind
    (C{forecast/outlook.py}).
 7. C{web/answers.py} makes the whole answer in one pure function, and C{web/writing.py} sends it.

The next poll has a shorter way. C{web/ready_answers.py} keeps what was read, and keeps up with the
feed. C{site/fast_answers.py} sends it, before Twisted parses the request.

A stream begins in the same way, and goes on in C{waiting/event_stream.py}.
"""
