"""The language server: collects context, asks the engine, streams; never imports torch."""

VERSION = "0.1.0"
"""The distribution's version, which it reads here; to look it up there takes 30 ms a start."""
