"""Who makes the runs of a plan: processes of this machine, a Ray cluster, SLURM jobs. The results are the same."""

from experiments.config import Experiment, Local
from experiments.launchers.base import Launcher, Report

__all__ = ["Launcher", "Report", "launcher_of"]


def launcher_of(experiment: Experiment) -> Launcher:
    """The launcher that the experiment's config names."""
    chosen = experiment.launcher
    if chosen.ray is not None:
        from experiments.launchers.ray import OnRay

        return OnRay(chosen.ray)
    if chosen.slurm is not None:
        from experiments.launchers.slurm import OnSlurm

        return OnSlurm(chosen.slurm)
    from experiments.launchers.local import OnThisMachine

    return OnThisMachine(chosen.local or Local(), experiment.compute)
