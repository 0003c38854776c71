"""The sealed columns under the name by which the first migration knows them."""

from accounts.encryption import EncryptedJSONField, SealedConstraint

__all__ = ["EncryptedJSONField", "SealedConstraint"]
