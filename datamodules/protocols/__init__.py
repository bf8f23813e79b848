"""Protocols: pure functions of the trials table and a seed to folds. Windows are cut only after the split."""

from datamodules.protocols.base import Fold, Protocol
from datamodules.protocols.corpora import LeaveOneCorpusOut
from datamodules.protocols.everyone import Everyone
from datamodules.protocols.pairs import SubjectPairs
from datamodules.protocols.subjects import LeaveOneSubjectOut, SubjectGroups
from datamodules.protocols.within import WithinSubject

__all__ = [
    "Everyone",
    "Fold",
    "LeaveOneCorpusOut",
    "LeaveOneSubjectOut",
    "Protocol",
    "SubjectGroups",
    "SubjectPairs",
    "WithinSubject",
]
