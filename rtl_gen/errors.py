"""What a user can meet: errors printed without a traceback, exit status 2.

A message says what was expected, what was found, where, and what to do about it.
"""

from __future__ import annotations


class FlowError(Exception):
    """Base of every error that is the input's or the machine's fault, not the program's."""


class CheckpointError(FlowError):
    """A checkpoint file is damaged, hostile, incomplete or contradicts its own config."""


class UnsupportedError(FlowError):
    """The model is well formed but uses something no importer, operator or block represents."""


class QuantizationError(FlowError):
    """The recipe or the calibration data cannot give a valid IntegerGraph."""


class ConfigError(FlowError):
    """A configuration file has an unknown key, a wrong value or names a missing thing."""


class TargetError(FlowError):
    """The design does not fit the target; the message says by how much and where."""


class ToolNotFoundError(FlowError):
    """An external tool is not installed; the message says how to install it."""


class ToolError(FlowError):
    """An external tool ran and failed; the message ends with the tail of its log."""
