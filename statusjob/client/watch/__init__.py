"""How an application waits for a job: C{StatusClient}, its runs and requests, its history."""
