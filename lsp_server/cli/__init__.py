"""The midfill command."""
