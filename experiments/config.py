"""The config of an experiment: these classes are its schema, its defaults and its documentation.

Importing this file imports neither torch nor a corpus: plain mistakes are found in a moment. What a class path
accepts is known from the class's own signature (see components.py).
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from affect.errors import UserError

Normalisation = Literal["none", "source", "subject", "baseline", "baseline+subject"]


Selection = Literal[
    "last",
    "source-validation",
    "reverse-validation",
    "iwcv",
    "dev",
    "entropy",
    "information-maximisation",
    "snd",
    "bnm",
    "oracle",
]

PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of the config: unknown keys are refused, the docstring under a key is its help."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Component(Section):
    """A class by its path and the arguments it is made with; a bare path stands for no arguments."""

    class_path: str
    """Where the class lives, for example affect.alignment.DANN."""
    init_args: dict[str, Any] = {}
    """Arguments of the class, as its signature names them."""

    @model_validator(mode="before")
    @classmethod
    def _bare_path(cls, value: Any) -> Any:
        return {"class_path": value} if isinstance(value, str) else value


class Stream(Section):
    stream: str | None = None
    """Stream of the corpus it is made from; default: the one it is named after."""
    steps: list[Component] = []
    """Steps a whole trial goes through when the cache is prepared (affect.preprocessing)."""
    features: Component | None = None
    """Numbers computed from each window (affect.preprocessing); without them the encoder reads samples."""


class Window(Section):
    seconds: PositiveFloat
    """Length of a window, s."""
    step: PositiveFloat | None = None
    """Distance between windows, s; default: the length, no overlap."""
    short: Literal["drop", "repeat"] = "drop"
    """A trial shorter than a window gives no window, or one that repeats it until it is full."""


class Data(Section):
    corpus: Annotated[list[Component], Field(min_length=1)]
    """A corpus on disk (datamodules.corpora) or a stand-in for it (datamodules.standin): one, or a list joined."""
    streams: Annotated[dict[str, Stream], Field(min_length=1)]
    """Stream name → how it is prepared."""
    target: list[Component] = []
    """What is predicted (datamodules.targets): one or a list, a head each; none for pretraining without labels."""
    window: Window
    bad_trials: Literal["error", "drop", "absent"] = "error"
    """Trials with NaNs, dead channels, impossible ratings: stop, leave them out, or take bad streams for absent."""
    scale: tuple[float, float] | None = None
    """(lowest, highest): numeric ratings of every corpus are mapped linearly to this scale; default: native scales."""
    cache: str = "cache"
    """Folder of prepared corpora."""

    @model_validator(mode="before")
    @classmethod
    def _one_of_each(cls, value: Any) -> Any:
        return _listed(_listed(value, "target"), "corpus")


class Transfer(Section):
    weights: str | None = None
    """Where it begins: a file, a pretraining folder, wandb:owner/project/name:alias, a published name; or at random."""
    mode: Component = Component(class_path="affect.transfer.FineTune")
    """How it goes on learning (affect.transfer)."""


class Model(Section):
    encoders: dict[str, Component] = {}
    """Stream name → encoder (affect.encoders), one for each stream of data.streams."""
    classical: Component | None = None
    """Instead of encoders: a model of scikit-learn (affect.classical), of source-only and of every other method."""
    fusion: Component = Component(class_path="affect.fusion.Concatenation")
    """How embeddings become one (affect.fusion)."""
    transfer: dict[str, Transfer] = {}
    """Stream name → where its encoder begins and how it goes on; default: at random, everything learns."""
    stream_heads: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Weight of the label loss of each stream's own head; 0: no such heads (a fusion of decisions always has them)."""
    stream_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Chance that a stream is hidden from a window in training, one always left: for streams that may be missing."""
    augmentations: dict[str, list[Component]] = {}
    """Stream name → what its windows go through in training (affect.augmentation)."""

    @model_validator(mode="after")
    def _one_kind(self) -> "Model":
        if bool(self.encoders) == bool(self.classical):
            found = "encoders and a classical model" if self.classical else "nothing"
            raise UserError("model", found, "encoders, or a classical model", "give one of them")
        return self


class Range(Section):
    low: float
    """The least value drawn."""
    high: float
    """The greatest."""
    log: bool = False
    """Whether draws are even in the logarithm."""

    @model_validator(mode="after")
    def _in_order(self) -> "Range":
        if not (self.low < self.high and (self.low > 0 or not self.log)):
            raise UserError("search", f"{self.low:g} … {self.high:g}", "low < high, above 0 if log", "correct it")
        return self


Space = dict[str, Annotated[list[Any], Field(min_length=1)] | Range]


class Search(Section):
    budget: PositiveInt
    """How many settings every method is tried with, source-only too."""
    sampler: Literal["grid", "random"] = "random"
    """Every combination, or draws that all differ."""
    space: Space = {}
    """Dotted key, such as trainer.learning_rate → values to try, or a range {low, high, log}; for all methods."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the draws."""


class Method(Section):
    alignment: Component | None = None
    """The loss that makes domains alike (affect.alignment); none is source-only."""
    streams: Annotated[list[str], Field(min_length=1)] | None = None
    """Streams of data.streams it looks at; default all."""
    fusion: Component | None = None
    """Instead of model.fusion."""
    transfer: dict[str, Transfer] = {}
    """Stream name → instead of its entry in model.transfer."""
    search: Space = {}
    """Key below the method, such as alignment.weight → values to try in a search, beside those of search.space."""
    classical: Component | None = None
    """A model of scikit-learn (affect.classical) instead of a network; beside it, alignments that map streams."""
    decisions: Annotated[list[Annotated[list[str], Field(min_length=1)]], Field(min_length=2)] | None = None
    """Groups of streams: a classical model of each, whose predictions are averaged."""

    @model_validator(mode="after")
    def _one_kind(self) -> "Method":
        others = [name for name in ("fusion", "transfer") if getattr(self, name)]
        if self.classical and others:
            raise UserError(
                f"methods.*.{others[0]}", "beside a classical model", "of a network's method", "take one of them out"
            )
        return self


class Pretraining(Section):
    objective: Component | None = None
    """What encoders are trained by without labels (affect.pretraining); none: by the labels of data.target."""
    augmentations: dict[str, list[Component]] = {}
    """Stream name → what an objective may do to its windows (affect.augmentation); default: the objective's own."""


class Trainer(Section):
    max_epochs: PositiveInt = 30
    """Passes over the source windows."""
    batch_size: PositiveInt = 64
    """Source windows a step; most alignments add as many target windows."""
    learning_rate: PositiveFloat = 1e-3
    """Of AdamW."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-2
    """Of AdamW."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Of the learning rate, over all steps."""
    class_weights: Literal["balanced", "none"] = "balanced"
    """Every class weighs the same in the label loss, or every window."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the label spread over all classes."""
    mixup: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """α of mixup between windows of one person; 0: none."""
    calibration_weight: PositiveFloat = 1.0
    """Of a labelled window of the tested person beside one of the source, where a protocol gives some."""
    checkpoint_every: PositiveInt = 10
    """Epochs between the checkpoints an interrupted run goes on from."""


class Compute(Section):
    accelerator: Literal["cpu", "gpu", "mps"] = "cpu"
    """Where the networks train."""
    devices: PositiveInt = 1
    """Of each run: several share out the windows of every step (Lightning's DDP)."""
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    """Of the numbers in training, as Lightning names it; weights and predictions are float32."""
    compile: Literal["inductor", "cudagraphs", "aot_eager"] | None = None
    """Backend of torch.compile for the encoders, which pays where a run lasts minutes; default: not compiled."""


class Local(Section):
    workers: Annotated[int, Field(ge=0)] = 0
    """Runs at a time, each in a process with one thread; 0: one a core. On a GPU or several devices it is one."""


class Ray(Section):
    address: str = "auto"
    """host:port of a cluster, auto for the one this machine is part of, or local: one that is started for the runs."""
    cpus: PositiveFloat = 1.0
    """Of each run."""
    gpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Of each run; 0.25: four runs share one."""
    retries: Annotated[int, Field(ge=0)] = 3
    """How often a worker that is lost is begun again."""


class Slurm(Section):
    jobs: PositiveInt = 4
    """In the array; each makes runs until none is left."""
    minutes: PositiveInt = 240
    """Time limit of a job, after which it is requeued."""
    timeouts: Annotated[int, Field(ge=0)] = 10
    """How often a job may be requeued for its time; preemptions are not counted."""
    cpus: PositiveInt = 1
    """Of each job."""
    gpus: Annotated[int, Field(ge=0)] = 0
    """Of each job."""
    memory_gb: PositiveFloat | None = None
    """Of each job; default: what the cluster gives."""
    partition: str | None = None
    account: str | None = None
    setup: list[str] = []
    """Shell lines before a job, such as module load."""
    more: dict[str, Any] = {}
    """Other options of sbatch by their long names, such as {qos: low}."""
    executor: Literal["slurm", "local"] = "slurm"
    """local: submitit's own, as processes of this machine; to try a config without a cluster."""


class Launcher(Section):
    local: Local | None = None
    """Processes of this machine; the default."""
    ray: Ray | None = None
    """A Ray cluster; needs the extra ray."""
    slurm: Slurm | None = None
    """SLURM jobs; needs the extra slurm."""

    @model_validator(mode="after")
    def _one(self) -> "Launcher":
        named = [name for name in Launcher.model_fields if getattr(self, name) is not None]
        if len(named) > 1:
            raise UserError("launcher", " and ".join(named), "one launcher", f"set --launcher='{{{named[-1]}: {{}}}}'")
        if not named:
            object.__setattr__(self, "local", Local())
        return self


class WandB(Section):
    mode: Literal["offline", "online", "disabled"] = "offline"
    """offline writes into the experiment's folder and needs no network; `wandb sync` uploads it later."""
    without_key: Literal["error", "offline"] = "error"
    """What online does where nobody is logged in: stop before anything is trained, or go on offline."""
    artifacts: bool = True
    """Whether W&B is given the weights of every run and pretrained encoders, beside splits and summary."""
    project: str = "affect"
    """Where runs go; the experiment is a group in it."""
    entity: str | None = None
    """User or team the project belongs to; default: who is logged in."""


class Experiment(Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Of the folder of results and of the W&B group."""
    data: Data
    protocol: Component
    """The rule that splits people and trials (datamodules.protocols)."""
    normalisation: Annotated[list[Normalisation], Field(min_length=1)] = ["source"]
    """Each method is run under each of these; what a method may see of the target follows from it."""
    domain: Literal["subject", "corpus"] = "subject"
    """What alignment aligns: source people one by one, or source corpora, with the target."""
    model: Model
    methods: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")], Method] = {}
    """Name → what is added to the same learner. source-only is always there."""
    pretraining: Pretraining | None = None
    """Makes this an experiment that leaves encoders behind, and no predictions."""
    missing_streams: bool = False
    """Whether networks are also tested with every subset of their streams, and with streams lost at random."""
    selection: Selection = "last"
    """What chooses among the settings of a search, or the epoch (source-validation); only oracle sees target labels."""
    search: Search | None = None
    """Tries every method with several settings, among which selection chooses for each fold and seed."""
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    """Every fold and method is run with each seed."""
    trainer: Trainer = Trainer()
    compute: Compute = Compute()
    launcher: Launcher = Launcher()
    """Who makes the runs: local, ray or slurm, with its settings; changes no result."""
    wandb: WandB = WandB()
    output: str = "runs"
    """Folder of runs and results."""

    @model_validator(mode="before")
    @classmethod
    def _one_normalisation(cls, value: Any) -> Any:
        return _listed(value, "normalisation")

    @model_validator(mode="after")
    def _complete_and_unique(self) -> "Experiment":
        own = {"source-only", "pretraining"}  # the latter in a config that was written down
        others = {name: method for name, method in self.methods.items() if name not in own}
        for name in sorted(own & set(self.methods)):
            own_model = {"classical"} if self.methods[name].classical == self.model.classical else set()
            if changed := [k for k in Method.model_fields if getattr(self.methods[name], k) and k not in own_model]:
                raise UserError(
                    f"methods.{name}",
                    ", ".join(changed),
                    f"none: {name} is the experiment's own model, without an alignment",
                    "rename the method, or change model",
                )
        if self.search is None and (searched := [name for name, method in self.methods.items() if method.search]):
            raise UserError(f"methods.{searched[0]}.search", "without a search", "search.budget", "add a search")
        if self.search and self.selection == "last":
            raise UserError(
                "selection",
                "'last' in a search",
                "what chooses among the settings",
                "set --selection=source-validation",
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise UserError("seeds", f"{self.seeds}", "each seed once", "remove the repeated ones")
        if self.pretraining and others:
            raise UserError("methods", f"{list(others)}", "none: pretraining leaves encoders behind", "take them out")
        if not self.data.target and not (self.pretraining and self.pretraining.objective):
            raise UserError("data.target", "nothing", "what is predicted (datamodules.targets)", "add it to the config")
        first = "pretraining" if self.pretraining else "source-only"
        every = {name: self._of_model(method) for name, method in {first: Method(), **others}.items()}
        if self.pretraining and self.model.classical:
            raise UserError("pretraining", "of a classical model", "encoders, which can be kept", "give model.encoders")
        for name, method in every.items():
            if method.decisions and not method.classical:
                raise UserError(
                    f"methods.{name}.decisions", "of a network", "a classical model", "use affect.fusion.Decision"
                )
        object.__setattr__(self, "methods", every)
        return self

    def _of_model(self, method: Method) -> Method:
        """With the experiment's own classical model, if it has one, where the method names none."""
        own = method.classical or self.model.classical
        return Method.model_validate({**method.model_dump(), "classical": own.model_dump()}) if own else method


def _listed(value: Any, key: str) -> Any:
    """One entry stands for a list of one."""
    if isinstance(value, dict) and isinstance(value.get(key), str | dict | Component):
        value = {**value, key: [value[key]]}
    return value
