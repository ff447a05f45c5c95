"""The programs of `worker.Contender` in the words of each peer. Only the peer's own environment can import them."""
