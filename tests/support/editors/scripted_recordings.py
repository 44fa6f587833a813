"""Editing sessions that tell the scripted server what to write."""

from __future__ import annotations

from midfill.recipes.keystrokes.traces import Recording


def recording(told: str, *steps: dict[str, object]) -> Recording:
    """A file that ends in what the engine is told, with the cursor behind that; a second one.

    See ``scripted_server`` for what "# do: ..." does.
    """
    files = {"src/a.py": f"x = 1\n# do: {told}\n", "src/b.py": "y = 2\n# do: write b\n"}
    place = ["src/a.py", 1, len(f"# do: {told}")]
    return Recording("made-up", "nobody", "0" * 40, files, ({"switch": place}, *steps))
