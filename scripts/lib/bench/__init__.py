"""Measures imagefs beside its peers: `scripts/bench`.

figures     what a row of the table is, and what it has to reach
rounds      takes the measurements, in turn
rows_*      the rows
workplace   the images, stores and unpacked copies that they need, made when they are first asked for
mounts      file systems for the time of a block, ours and the peers'
peers       the programs that unpack archives
baselines   the work that cannot be done without, done in the plainest way
randomread  readers that jump
tracing     counts requests
watched     our command in a process that tells what it cost
machine     running programs, clocks, caches, memory
report      the table and the JSON; plot, the picture
"""
