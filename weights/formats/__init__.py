"""One module per file format: each turns a file into a Checkpoint and refuses to guess."""
