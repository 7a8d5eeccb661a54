"""How an application runs jobs: C{WorkerClient}, the handle of a running job, its ETA."""
