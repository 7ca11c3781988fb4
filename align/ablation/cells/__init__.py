"""What a worker does: take a task, train its cell from what all cells share in memory, evaluate its checkpoints."""
