"""
The HTTP contract: everything that crosses the wire, as values and as bytes.

Pure: no I/O, no clock, no reactor. Server and client use it both.

  - L{statusjob.contract.codec}: strict decoding, limits, and L{statusjob.contract.codec.BadInput}.
  - L{statusjob.contract.jobs}: the bodies of requests and answers about jobs.
  - L{statusjob.contract.webhooks}: the same for webhooks and deliveries.
  - L{statusjob.contract.signing}: the signatures of webhooks.
  - L{statusjob.contract.http_dates}: C{Retry-After} and dates in headers.
"""
