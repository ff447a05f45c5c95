"""The pure core: what a run decides. It imports attrs and the standard library, and never reads a clock.

`plan` what a class declares, `inputs` what happens to a run, `effects` what it wants done, `state` what it
keeps, `routing` which steps take an event, `returning` what a step may return, `collecting` the buffers of
`collect_events`, `attempts` what a failed attempt leaves to the next, `retrying` whether there is a next one,
`alarms` what waits for its time, `recovering` who handles a step that is given up, `reporting` how a run that is
in trouble is told, and `machine`, which alone composes them.
"""
