"""Where contracts run: in this process, or behind walls in a worker process that gets a block in one message."""
