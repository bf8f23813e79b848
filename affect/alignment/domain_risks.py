"""The risk of each source domain in a batch, without selecting rows: what domain generalisation compares."""

from typing import NamedTuple

import torch
from torch import Tensor


class Risks(NamedTuple):
    """Args:
    each: (K + 1,) with gradient: weighted mean loss of each domain's labelled rows, the mean over its targets; 0 for
        a domain without such a row.
    here: (K + 1,) 1 for domains with a labelled row in the batch, 0 for the others.
    """

    each: Tensor
    here: Tensor

    def mean(self) -> Tensor:
        """Of the domains that are here."""
        return self.each.sum() / self.here.sum().clamp(min=1)


def domain_risks(risk: Tensor, weight: Tensor, domain: Tensor, domains: int) -> Risks:
    """R_d = mean_q Σ_{i∈d} w_iq r_iq / Σ_{i∈d} w_iq.

    Calibration windows are labelled rows of domain K, and so a domain like the others.

    Args:
        risk: (B, Q) of every row.
        weight: (B, Q), 0 for rows without a label.
        domain: (B,) 0 … K.
        domains: K + 1.
    """
    member = (domain[:, None] == torch.arange(domains, device=domain.device)).to(risk.dtype)
    total = member.T @ weight.to(risk.dtype)  # (K + 1, Q)
    known = (total > 0).to(risk.dtype)
    each = (member.T @ (risk * weight)) / total.clamp(min=1e-12)
    here = (known.sum(dim=1) > 0).to(risk.dtype)
    return Risks((each * known).sum(dim=1) / known.sum(dim=1).clamp(min=1), here)


def label_risk(risk: Tensor, weight: Tensor) -> Tensor:
    """L_label: the weighted mean over all labelled rows, the mean over targets."""
    return ((risk * weight).sum(dim=0) / weight.sum(dim=0).clamp(min=1e-12)).mean()
