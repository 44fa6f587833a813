"""The errors of midfill, for the packages above; the tree is drawn in midfill.weights.errors."""

from midfill.weights.errors import (
    CorruptModelError,
    EngineClosedError,
    InfillingNotSupportedError,
    InvalidRequestError,
    MidfillError,
    ModelNotAvailableError,
    ModelNotFoundError,
    ModelNotPulledError,
    PullError,
    UnsupportedModelError,
)

__all__ = [
    "CorruptModelError",
    "EngineClosedError",
    "InfillingNotSupportedError",
    "InvalidRequestError",
    "MidfillError",
    "ModelNotAvailableError",
    "ModelNotFoundError",
    "ModelNotPulledError",
    "PullError",
    "UnsupportedModelError",
]
