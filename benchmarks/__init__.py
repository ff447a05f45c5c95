"""What the engine costs and what concurrency gains, measured on the machine at hand.

`python -m benchmarks` measures everything and writes JSON, a Markdown table and a chart. The floors, from low
to high:

- `contenders/`: the same work done by stretto, by a mini-engine and by hand;
- `cells/`: one cell is one piece of work, its contenders, and the figures read off them;
- `sampling.py`, `worker.py`: contenders take turns in one process, a fresh process for each cell;
- `machine.py`, `record.py`: what the JSON file says;
- `report/`: the table and the chart, drawn from that JSON alone;
- `peers/`: the same programs on other engines; `make bench-peers` makes their environments and measures;
- `__main__.py`: the command line.

The package is not shipped: it needs a checkout, and a POSIX system.
"""
