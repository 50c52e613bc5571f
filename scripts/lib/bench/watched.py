"""Runs our command and tells what it cost: `python -m bench.watched REPORT ARGUMENT...`."""

import json
import resource
import sys
from pathlib import Path

from imagefs.cli.main import main

if __name__ == "__main__":
    report = Path(sys.argv.pop(1))
    try:
        main()
    finally:
        # Not getrusage(2)'s figure: that one has the parent's memory in it, from between fork and exec.
        peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
        peak += resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        written = int(Path("/proc/self/io").read_text().split("write_bytes:")[1].split()[0])
        report.write_text(json.dumps({"peak": peak * 1024, "written": written}))
