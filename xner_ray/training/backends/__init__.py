"""Where a training runs: in this process, in a Ray task, or in a Ray Train worker group."""
