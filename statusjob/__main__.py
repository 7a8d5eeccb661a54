"""C{python -m statusjob} runs C{twist statusjob} with a log that people can read."""

import runpy
import sys

if __name__ == "__main__":
    sys.argv[1:1] = ["--log-format=text", "statusjob"]
    runpy.run_module("twisted", run_name="__main__", alter_sys=True)
