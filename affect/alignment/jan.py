"""Joint adaptation network (Long et al., ICML 2017)."""

from torch import Tensor

from affect.alignment.base import AlignmentInput
from affect.alignment.dan import gaussians, mmd
from affect.alignment.domains import Discrepancy
from affect.alignment.outputs import beliefs


class JAN(Discrepancy):
    """Joint maximum mean discrepancy: of embeddings and predictions together (eq. 8–10 of the paper).

    L = λ · MMD²_K, K((f, g), (f', g')) = k_F(f, f') · k_G(g, g'), where k_F is DAN's mixture of Gaussian kernels on
    the embeddings and k_G one Gaussian kernel on the predictions g: the probabilities of all targets' classes and the
    standardised values of regressions, side by side. The gradient reaches both; all pairs of rows are compared, where
    the paper's linear-time estimate takes each row once.
    """

    by_outputs = True

    def distances(self, batch: AlignmentInput, share: Tensor, count: Tensor) -> Tensor:
        predictions = beliefs(batch.logits, self.classes)
        return mmd(gaussians(batch.features) * gaussians(predictions, widths=(1.0,)), share)
