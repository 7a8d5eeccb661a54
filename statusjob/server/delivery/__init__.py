"""
How updates of jobs reach webhooks: at least once, in order, and without one receiver that is
slow or dead holding up another.

B{The outbox.} The transaction that changes a job also writes one delivery for each
webhook that the change concerns (L{statusjob.server.store.outbox_write}).
A delivery is C{pending}, then C{sending}, and in the end C{delivered},
C{superseded} or C{dead}. For each job and webhook there is at most one that is
pending and one that is being sent. A newer update takes the place of the pending
one, so that versions arrive in rising order, outdated ones are skipped, and the end
of the job always arrives.

B{Rounds} (L{worker<statusjob.server.delivery.worker>}). A round is one
transaction. It settles the attempts that are over, and claims deliveries that are
due. Their attempts then begin in the same turn of the reactor, so that none
begins for a webhook after its deletion was answered. Rounds follow each other as
long as there is something to do. Otherwise the next one comes when the feed tells
of new deliveries, when an attempt is over, or when the next delivery or the end of
a pause is due.

B{Claims and leases} (L{statusjob.server.store.outbox_claim}). A claim marks a
delivery as C{sending} and counts the attempt. It is made by origin (scheme, host
and port): an origin is served by one node at a time, which holds a lease on it.
A lease lasts longer than the longest attempt. When it has ended, or when the
server starts, deliveries that were being sent are due again at once, and those
attempts do not count. So a crash repeats an attempt at worst, and loses none.

B{Connection slots} (L{statusjob.server.store.origins}). An origin has at most 16
attempts under way. A failure halves its number of slots, and a success adds one.
In all there are at most 256 attempts under way, of which 64 are kept free for
origins that have none. The origin that has been ready for longest comes first.

B{One attempt} (L{attempt<statusjob.server.delivery.attempt>}). The body is signed
by every valid secret of the webhook. The L{poster<statusjob.server.delivery.poster>}
sends it within one deadline, over a L{connection<statusjob.server.delivery.connection>}
that reads little more than the status line of the
L{answer<statusjob.server.delivery.answer>}. The
L{guard<statusjob.server.delivery.guard>} permits or refuses the very address that
is dialled, and the L{resolver<statusjob.server.delivery.resolver>} looks names up
in threads of its own. Any 2xx is success. Everything else has a class: C{http},
C{dns}, C{blocked}, C{connect}, C{tls}, C{timeout} or C{too-big}.

B{Retries and pauses} (L{statusjob.server.store.outbox_settle}). After a failure
the delivery is pending again, and due after the next step of the retry schedule,
lengthened by some jitter. An origin that has failed several times in a row is
paused, for longer each time. After the pause a single attempt probes it. Once that
succeeds, deliveries that failed only since the origin began to fail are due at
once. A receiver that answers 429 or 503 with C{Retry-After} pauses its URL for that
long, and its origin while two URLs ask; a 429 that names no time pauses the URL, too,
and costs no attempt (L{statusjob.server.store.url_pauses}). A test by request, and the
first of a redelivery, are made in spite of any pause.

B{Giving up.} A delivery is dead when every step of the schedule has failed, when
its receiver answers 410, when its webhook was disabled meanwhile, when a paused
origin has held it up for longer than all its attempts would have taken, or when it
cannot be read from the database. A webhook
is disabled on 410. It is given up when a delivery died and others had failed for at
least 5 days before, on at least 3 of them, without any success. What ends while it
is given up is kept as dead (L{statusjob.server.store.webhooks}). Dead deliveries can
be sent again by request (L{statusjob.server.webhooks.redelivery}).

B{The end.} A stop begins no more rounds, waits for the attempts that are under
way, cancels those that are left when time is up, and settles the others. A
cancelled attempt is made again after the next start.
"""
