"""Where a training runs: in this process, in Ray tasks, or in a Ray Train worker group."""
