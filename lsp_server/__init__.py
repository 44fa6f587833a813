"""The language server: collects context, asks the engine, streams; never imports torch."""
