"""Euclidean alignment of covariances (He & Wu, IEEE Trans. Biomedical Engineering 67(2), 2020)."""

from functools import partial

import torch
from torch import Tensor

from affect.alignment.base import Alignment
from affect.alignment.stream_maps import Chunks, by_person, power
from affect.batch import StreamMap


class EuclideanAlignment(Alignment):
    """Every person's channels are mixed so that their mean covariance is the identity: people become alike.

    With (C, T) windows X_i of one person, R = mean_i X_i X_iᵀ / T and X̃ = R^(−1/2) X (eq. 16–17 of the paper). Source
    people, held-out people and the target are each aligned by their own unlabelled windows. A direction in which
    nothing varies stays 0.

    Made for samples. Of features (C, F) it aligns the covariance of channels over all F of them in the same way.

    Args:
        weight: 0, the windows as they are, to 1, aligned.
    """

    sees = "statistics"
    maps = True
    joint = False

    def map_stream(self, chunks: Chunks) -> StreamMap:
        total: dict[int, Tensor] = {}
        count: dict[int, int] = {}
        for chunk in chunks():
            for person in set(chunk.person.tolist()):
                values = chunk.values[chunk.person == person].double()
                found = torch.einsum("nct,ndt->cd", values, values) / values.shape[2]
                total[person] = total.get(person, 0.0) + found
                count[person] = count.get(person, 0) + len(values)
        whitening = {
            person: partial(_mix, matrix=power(total[person] / count[person], -0.5, floor=1e-6).float())
            for person in total
        }

        def mapped(values: Tensor, person: Tensor, source: Tensor) -> Tensor:
            return by_person(values, person, whitening)

        return mapped


def _mix(values: Tensor, matrix: Tensor) -> Tensor:
    return matrix.to(values) @ values
