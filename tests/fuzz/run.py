"""Coverage-guided fuzzing: ``python tests/fuzz/run.py TARGET CORPUS [libFuzzer options]``.

New inputs go into the folder CORPUS, which starts with small whole ones if it is empty; further
folders are read only. The input of a fault goes where ``-artifact_prefix`` says. Needs atheris.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import tempfile
from pathlib import Path

SUPPORT = Path(__file__).parents[1] / "support"
sys.path[:0] = [str(SUPPORT / part) for part in (".", "attack", "editors", "models")]
os.environ["GIT_CONFIG_GLOBAL"] = os.environ["GIT_CONFIG_SYSTEM"] = os.devnull

import atheris  # noqa: E402

with atheris.instrument_imports(include=["midfill", "gguf", "text_reference"]):
    import fuzz_targets
    from fuzz_seeds import seeds


def main(target: str, corpus: Path, options: list[str]) -> None:
    """Fuzz until an option of libFuzzer ends it; exit status 77 after a fault."""
    logging.disable()
    test = fuzz_targets.TARGETS[target]
    place = Path(tempfile.mkdtemp(prefix="midfill-fuzz-"))
    os.environ["HOME"] = os.environ["XDG_CONFIG_HOME"] = str(place)
    corpus.mkdir(parents=True, exist_ok=True)
    if not any(corpus.iterdir()):
        for seed in seeds(target, place):
            (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: test(data, place))
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
