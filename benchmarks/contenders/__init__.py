"""The same work three times: stretto's workflows, a mini-engine's table of steps, and plain awaits."""
