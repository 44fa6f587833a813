import json
from pathlib import Path


def read_settings(path: Path) -> dict:
    """The settings in a JSON file; none if there is no such file."""
    if not path.exists():
        return {}
    <hole>
    return json.loads(text)
