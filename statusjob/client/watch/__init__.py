"""How an application waits for a job: C{StatusClient}, its runs and strategies, its history."""
