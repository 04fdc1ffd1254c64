"""The fault of one record, as against that of a whole store."""

from lyra.structures import InputError


class CorruptRecordError(InputError):
    """One record is damaged; whoever reads many may leave it out and go on."""
