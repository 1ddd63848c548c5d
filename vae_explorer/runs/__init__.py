"""Training runs: their folders, lock and status, and the processes that execute them."""
