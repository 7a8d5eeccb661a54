"""C{python -m statusjob}: the server in the foreground, as C{twist statusjob} runs it."""

import runpy
import sys

if __name__ == "__main__":
    sys.argv.insert(1, "statusjob")
    runpy.run_module("twisted", run_name="__main__", alter_sys=True)
