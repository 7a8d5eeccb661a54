"""
When to ask again about a pending job.

The package is pure: it imports no reactor and no clock, and it draws no random numbers. Ages of
jobs and random numbers are arguments, and waits come out, all in seconds. The client uses it
between two requests, and the server for its C{Retry-After}.

  - L{statusjob.pace.schedule}: the cold rule for jobs of which nothing is known, and the optimum
    schedule for a known distribution of durations.
  - L{statusjob.pace.durations}: the distribution that the durations of past jobs suggest.
  - L{statusjob.pace.estimates}: the distribution that an estimate of the remaining time suggests.
  - L{statusjob.pace.bounds}: limits, jitter, backoff and C{Retry-After}, whatever the schedule.

The rest of this text is the theory. C{tests/pace/test_theory.py} computes all figures in it.

The cost of watching
====================

Watching a job until its end is noticed costs::

    cost = r * requests + delay

C{requests} counts all requests, including the last one, which finds that the job has ended.
C{delay} is the time in seconds from the end of the job to that request. C{r} is the
C{request_cost}: how many seconds of delay one request is worth. The default is 2.

Nothing known: the cold rule
============================

If nothing is known of a job, it is asked about at the ages r, 4*r, 9*r, 16*r and so on. At age t
that means a wait of r + 2*sqrt(r*t), see L{statusjob.pace.schedule.cold_rule}.

The rule is compared with the best fixed interval. Asking about a job of T seconds at a fixed
interval d, with a random phase, takes about T/d requests and notices the end d/2 late on average.
The cost, r*T/d + d/2, is least at d = sqrt(2*r*T), where it is sqrt(2*r*T). (A client that knew
T could do better than any interval: it would ask once, at T.)

The cold rule makes about sqrt(T/r) requests, and the job ends in a gap of about 2*sqrt(r*T)
between two of them. So the cost is about 2*sqrt(r*T), which is sqrt(2) = 1.41 times that of the
best fixed interval, whatever T is. This is true on average over the phase, that is, over where in
the gap the job ends, and it is the limit for long jobs. For r = 2:

  - Averaged over durations from T/2 to 2*T (evenly in their logarithm), the ratio is 1.59 for
    T = 10 s, 1.55 for 60 s and 1.44 for 1,000 s.
  - In the worst phase, when a job ends just after a request, the ratio is 2.83 in the gap in
    which a T of 10 s lies, 2.40 for 60 s and 2.19 for 1,000 s. Its limit is 3/sqrt(2) = 2.12.

No smooth rule has a better constant. Let N(T) be the number of requests up to age T, and put
N = a(s)*sqrt(T/r) with s = log(T). The average cost, r*N + 1/(2*N'), is then
sqrt(r*T) * (a + 1/(a + 2*a')). If the second factor were below 2 - e for all s, then a' would be
above some positive number for ever, because a + 1/a is never below 2. So a would grow past 2, and
the cost with it. A rule that doubles the interval has no such bound at all: its delay grows in
proportion to T, and its ratio as sqrt(T).

The best gap for a hazard
=========================

Let S(t) be the probability that a job outlives age t, f = -S' the density and h = f/S the hazard.
Suppose that n(t) requests per second are made at age t. A request is made only while the job is
pending, and an end is noticed half a gap, 1/(2*n), late on average. So the cost is the integral
of r*n*S + f/(2*n). It is least where r*S = f/(2*n*n), that is, for a gap of 1/n = sqrt(2*r/h)
(Keller 1974).

The cold rule's gap at age t is g = sqrt(r*r + 4*r*t). It is Keller's best gap for the hazard
h = 2*r/(g*g), which is that of the Lomax distribution S = (1 + 4*t/r)**-0.5. This distribution is
the prior: it stands for "nothing is known" where that has to be weighed against data, see
L{statusjob.pace.schedule.prior_survival}. Keller's gap is an approximation for short gaps, so the
prior's optimum schedule is the cold rule only in the limit of long ages. For r = 2 it waits 4.55 s
at age 2, where the cold rule waits 6.00 s, and 90.6 s at age 1,000, where the cold rule waits
91.4 s. With no past durations the cold rule itself is used.

A known distribution: the optimum schedule
==========================================

Asking at the ages x1 < x2 < ... costs (Barlow, Hunter and Proschan 1963)::

    r*(S(0) + S(x1) + S(x2) + ...) + the sum over k of the integral of (xk - t)*f(t)
                                     from t = x(k-1) to xk

L{statusjob.pace.schedule.optimum} finds the cheapest ages by dynamic programming.

Past durations
==============

The last n durations of a kind of job, at most 256, are each widened to a triangle in the logarithm
of the age, because no job takes exactly as long as another one. The distribution is their average
with weight n, and the prior with weight 1. A job that outlives all remembered ones is therefore
asked about by the cold rule.

Estimates
=========

A worker may estimate the remaining time. The true remaining time is taken to be log-normal around
the estimate, with the bias and the spread that the last 256 estimates of the same source had. One
estimate in twenty is taken to be worth little. After a while, the schedule falls back to the cold
rule.

Bounds
======

No wait is shorter than r or longer than C{max_interval}. The server's C{Retry-After} may lengthen
it, up to an hour. Jitter of at most a quarter of the wait, and at most r/2, keeps apart clients
that know the same. It has a price. For jobs that all take the same time, 20 of which were seen
before, the cost for r = 2 and C{max_interval} = 30 s is this many times the least possible:

  - 1.62 for jobs of 1 s, because no wait is shorter than r;
  - 1.27 for jobs of 15 s;
  - 2.65 for jobs of 29.9 s, because the jitter of the longest wait goes backward, so that many
    requests come just before the end;
  - 1.81 for jobs of 60 s, which need two requests at least.

Sources
=======

  - R. E. Barlow, L. C. Hunter, F. Proschan: Optimum checking procedures. Journal of the Society
    for Industrial and Applied Mathematics 11, 1963.
  - J. B. Keller: Optimum checking schedules for systems subject to random failure. Management
    Science 21, 1974.
  - B. W. Silverman: Density Estimation for Statistics and Data Analysis, 1986, for the width of
    the triangles.
"""
