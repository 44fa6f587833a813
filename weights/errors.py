"""What midfill raises on purpose; the engine re-exports it.

::

    MidfillError
    ├── InvalidRequestError         a field of a request is out of range
    ├── InfillingNotSupportedError  the model has no infilling tokens, or not that order
    ├── ModelNotAvailableError      the model cannot be used here and now
    │   ├── ModelNotFoundError      no such name in the registry, no such path
    │   ├── ModelNotPulledError     known, but its file is not in the store
    │   ├── PullError               the download failed, or is not what was promised
    │   ├── UnsupportedModelError   a format, architecture or key that we refuse to guess at
    │   └── CorruptModelError       missing, left-over or misshapen tensors; broken files
    └── EngineClosedError           a request came after close()

Each message names the value, the allowed range and what to do.
"""


class MidfillError(Exception):
    """The base of every error that midfill raises on purpose."""


class InvalidRequestError(MidfillError):
    """A field of a request is out of range."""


class InfillingNotSupportedError(MidfillError):
    """The model has no infilling tokens, or was not trained on the order asked for."""


class ModelNotAvailableError(MidfillError):
    """The model cannot be used here and now."""


class ModelNotFoundError(ModelNotAvailableError):
    """No model of that name in the registry, and no such path."""


class ModelNotPulledError(ModelNotAvailableError):
    """The registry knows the model, but its file is not in the store."""


class PullError(ModelNotAvailableError):
    """The download failed, or what came is not what the registry promises."""


class UnsupportedModelError(ModelNotAvailableError):
    """A format, architecture or key that would change the result and is not implemented."""


class CorruptModelError(ModelNotAvailableError):
    """Tensors are missing, left over or misshapen, or a file is broken."""


class EngineClosedError(MidfillError):
    """A request came after the engine was closed."""
