"""The language server: collects context, asks the engine, streams; never imports torch."""

VERSION = "0.1.0"
"""Of the distribution, which reads it here; looking it up there takes 30 ms of every start."""
