"""The pure core: what a run decides. It imports attrs and the standard library, and never reads a clock.

Values: `plan` what a class declares, `inputs` what happens to a run, `effects` what it wants done, `delivery` an event
on its way. Parts that know no inputs: `routing` which steps take an event, `returning` what a step may return,
`collecting` the buffers of `collect_events`, `waiting` who waits for what, `past` what a delivery is given again,
`retrying` whether there is a next one, `alarms` what waits for its time, `recovering` who handles a step that is given
up, `joining` the forks and what is due to their joins, upon `calling` what a policy decides about them, `branches` what
is kept of each, `gathering` what has arrived at one (of one kind each `arrivals`, `races`, `parts`, `pairing`),
`timing` when windows are over, `reaching` which joins a step leads to, `joined` what a join is given, `reporting` how a
run in trouble is told.

What steps hold back: `policies` what they say, `bucket` the tokens of a rate, `permits` what is needed beside a worker,
`ranking` who is first, `debouncing` and `singletons` what there is of each key, `flow` the queue of one step, `flows`
and `backlog` those of a run.

The machine, a class for each subject, one upon the other: `state` what a run keeps, `workers` who works and who
queues, `outcome` how a run ends, `waits` the waits in the middle of a step, `forking` branches and joins, `flowing`
what is held back, `sending` where an event goes, `attempts` what follows when a step has raised, and `machine`, the one
door.

A run as data: `snapshots` what each structure writes and how it is read, `saving` how what is on its way is written,
`places` data that somebody else wrote, with the path to each part.
"""
