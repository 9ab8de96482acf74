"""Where hosts, teachers and texts come from: a place on this machine, or a repository of a hub."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator
from typing_extensions import override

from rsae.config.layouts import LAYOUTS, Layout
from rsae.config.types import Name, Positive, Rate, Share, Strict


class Source(Strict):
    """A folder on this machine, or a repository at a revision (for which a lock file's commit stands in)."""

    PLACES: ClassVar[tuple[str, ...]] = ("path", "repo")

    path: Path | None = None
    repo: str | None = None
    revision: str = "main"

    @model_validator(mode="after")
    def _one_place(self) -> "Source":
        given = [place for place in self.PLACES if getattr(self, place) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(self.PLACES)}; found {', '.join(given) or 'none'}")
        return self


class Figure(Strict):
    """A published number and how far a correctly loaded teacher may lie from it."""

    value: float
    within: Rate


class Published(Strict):
    """What the teacher gate holds a teacher to; see :class:`rsae.evaluate.teacher_check.Figures`."""

    l0: Figure | None = None
    explained_variance: Figure | None = None
    delta_ce: Figure | None = None


class Stated(Strict):
    """What the owner of a checkpoint knows and its files do not say; see :class:`rsae.sae.loading.weights.Weights`."""

    k: Positive | None = None
    apply_b_dec_to_input: bool | None = None
    normalize_activations: Literal["none", "layer_norm"] | None = None
    input_scale: Rate | None = None


class TeacherSource(Source):
    """An SAE's files; ``release`` and ``sae_id`` name one in sae_lens's registry."""

    PLACES: ClassVar[tuple[str, ...]] = ("path", "repo", "release")

    folder: str = ""  # inside the repository
    release: str | None = None
    sae_id: str | None = None
    layout: Layout | None = None  # None: by the files of a local path, by the registry for a release
    d_sae: Positive | None = None  # for the preflight's estimates alone
    stated: Stated = Stated()
    published: Published = Published()

    @model_validator(mode="after")
    def _findable(self) -> "TeacherSource":
        if self.repo is not None and self.layout is None:
            raise ValueError(f"a `repo` needs a `layout`: one of {', '.join(LAYOUTS)}")
        if (self.release is None) != (self.sae_id is None):
            raise ValueError("`release` and `sae_id` go together")
        return self


class Site(Strict):
    """One place in the residual stream and the rows on which it is read."""

    hook: str
    ctx: Positive
    bos: bool
    center_writing_weights: bool = False


class Size(Strict):
    """For the preflight's estimates, before a host is on this machine."""

    parameters: Positive
    vocab: Positive
    d_model: Positive


class Docstrings(Strict):
    """Docstrings of installed packages, shared out by module (see :mod:`rsae.data.text.docstrings`)."""

    source: Literal["docstrings"]
    packages: list[str] = Field(min_length=1)
    shares: dict[str, Share]


class Labelled(Strict):
    """What a probe is to tell of a document of a text."""

    label: str | None = None  # a column
    classes: Annotated[list[str], Field(min_length=2)] | None = None  # documents of these alone are read

    @model_validator(mode="after")
    def _of_a_label(self) -> "Labelled":
        if self.classes is not None and self.label is None:
            raise ValueError("`classes` are values of a column; say which in `label`")
        return self

    @property
    def labelled(self) -> bool:
        """Whether every document has a class."""
        return self.label is not None


SHARES = {"test": 0.1, "threshold": 0.05, "tuning": 0.05, "calibration": 0.05, "finetune": 0.75}


class FileText(Labelled):
    """Parquet, JSON lines or plain text on this machine, a file or a folder (see :mod:`rsae.data.text.datasets`)."""

    source: Literal["files"]
    path: Path
    column: str = "text"
    per: Literal["line", "paragraph", "file"] = "paragraph"  # what is a document in plain text
    documents: Positive | None = None  # the first so many, in equal shares where there are `classes`
    shares: dict[str, Share] = SHARES


class Part(Strict):
    """Where the documents of one class stand."""

    subset: str
    column: str  # a dot leads into a column of fields


class HubText(Labelled):
    """The first ``documents`` of a dataset, in equal shares of its ``classes``, streamed.

    See :mod:`rsae.data.text.datasets`. ``parts``: {class: where it stands}, for a dataset whose subsets and columns
    say the class.
    """

    source: Literal["datasets"]
    name: str
    subset: str | None = None
    revision: str = "main"
    split: str = "train"
    column: str = "text"
    documents: Positive
    shares: dict[str, Share] = SHARES
    parts: dict[str, Part] | None = None

    @model_validator(mode="after")
    def _parts_alone(self) -> "HubText":
        if self.parts is not None and (len(self.parts) < 2 or {"label", "subset", "column"} & self.model_fields_set):
            raise ValueError("`parts` are two classes or more, and stand in place of `label`, `subset` and `column`")
        return self

    @property
    @override
    def labelled(self) -> bool:
        return self.label is not None or self.parts is not None


def _kind_of_text(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("source"))
    return getattr(value, "source", "name")


Text = Annotated[
    Annotated[Name, Tag("name")]
    | Annotated[Docstrings, Tag("docstrings")]
    | Annotated[FileText, Tag("files")]
    | Annotated[HubText, Tag("datasets")],
    Discriminator(_kind_of_text),
]


class TextFile(Strict):
    """``config/text/*.yaml``, as the value of one key, so that mistakes are named by it."""

    text: Text
