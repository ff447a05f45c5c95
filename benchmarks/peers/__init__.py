"""The same programs on stretto and on other engines, each in words of its own and in an environment of its own.

`make bench-peers` makes the environments, measures, and writes `peers.json`, `peers.md` and `peers.svg`.

- `requirements/NAME.txt`: all that one peer needs, pinned; its environment is `.venv-peers/NAME`;
- `ours.py`, `contenders/`: the programs, a file for each engine, with the reason where one cannot express them;
- `worker.py`: a process for each contender; it takes one sample for each line that it is sent;
- `catalog.py`, `programs.py`, `process.py`: who takes part, in what, and how a worker is asked;
- `__main__.py`: the command line. It takes samples in turn and writes its record as the other benchmarks do.

A new peer is a file of requirements (`pip freeze` of an environment with that package alone), a contender of the same
name and a line in the catalog. The README quotes the small table, and a test compares it with the record.
"""
