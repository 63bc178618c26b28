#!/usr/bin/python3
"""measure.py COMMAND...: runs it; prints wall seconds and peak resident MiB to standard error."""
import os
import resource
import sys
import time

start = time.monotonic()
pid = os.spawnvp(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
print(f"wall {time.monotonic() - start:.3f} rss {usage.ru_maxrss / 1024:.0f}", file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
