"""What is done with models rather than to serve them: evaluation and benchmarks, one file each."""
