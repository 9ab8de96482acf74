"""Files of a hub repository at one commit, verified before use; from the cache alone where that suffices."""

import errno
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from huggingface_hub import (
    HfApi,
    constants,
    get_hf_file_metadata,
    get_token,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from rsae.data.hub import network
from rsae.runtime.caller import word
from rsae.runtime.files import sha256

Kind = Literal["model", "dataset"]
Choose = Callable[[Sequence[str]], list[str]]  # the names that are wanted, among those of a repository
PATIENCE = (1, 4, 15)  # seconds between tries while the hub answers 5xx
VARIABLE = "HF_TOKEN"
COMMIT = re.compile("[0-9a-f]{40}")

T = TypeVar("T")


class UnreachableError(ValueError):
    """Neither the network nor the cache has it."""


class GatedError(ValueError):
    """The repository asks for a licence to be accepted, and for a token."""


class Entry(NamedTuple):
    """One file: its size in bytes and its sha256, where known."""

    size: int | None
    sha256: str | None


class Listing(NamedTuple):
    """A repository at one commit."""

    commit: str
    entries: dict[str, Entry]


class Fetched(NamedTuple):
    """Verified files on this machine."""

    repo: str
    commit: str
    folder: Path  # the snapshot: file ``name`` is at folder / name
    entries: dict[str, Entry]


def fetch(
    repo: str, revision: str, choose: Choose, kind: Kind = "model", pinned: Mapping[str, Entry] | None = None
) -> Fetched:
    """Every chosen file of ``repo`` at ``revision``, whole and verified.

    With ``pinned`` (of a lock file; ``revision`` is then a commit) nothing but those files and those
    hashes will do, and where they are in the cache no network is asked. Without it, the hub's own
    sha256 is the judge where it publishes one.

    Raises:
        GatedError, UnreachableError: as their names say.
        ValueError: no such repository, revision or file; a file whose bytes differ from its hash.
    """
    listing = _from_cache(repo, revision, kind) if pinned is None and offline() else None
    if pinned is not None:
        listing = Listing(revision, dict(pinned))
    if listing is None:
        listing = ask(repo, revision, kind)
    wanted = list(pinned) if pinned else choose(sorted(listing.entries))
    entries, folder = {}, Path()
    for name in wanted:
        path = _download(repo, revision, name, kind)
        folder = path.parents[name.count("/")]
        if folder.name != listing.commit:
            raise ValueError(f"{repo} moved to {folder.name[:12]} while it was downloaded; run the same line again")
        found = Entry(path.stat().st_size, sha256(path))
        expected = listing.entries[name].sha256
        if expected is not None and found.sha256 != expected:
            path.resolve().unlink()  # so that the next try downloads it again
            path.unlink(missing_ok=True)
            raise ValueError(
                f"{name} of {repo} at {listing.commit[:12]} has sha256 {found.sha256}, expected {expected}: the"
                " download is damaged or the file was replaced; it was deleted, run the same line again"
            )
        entries[name] = found
    return Fetched(repo, listing.commit, folder, entries)


def ask(repo: str, revision: str, kind: Kind = "model") -> Listing:
    """What the hub says of ``revision``: its commit, its files, their sizes, and sha256 of large files.

    Raises:
        GatedError, UnreachableError, ValueError: see :func:`fetch`.
    """

    def call() -> Listing:
        look_up = HfApi().model_info if kind == "model" else HfApi().dataset_info
        info = look_up(repo, revision=revision, files_metadata=True)
        entries = {s.rfilename: Entry(s.size, s.lfs.sha256 if s.lfs else None) for s in info.siblings or []}
        return Listing(str(info.sha), entries)

    return patiently(call, repo, revision, None)


def upload(folder: Path, repo: str, private: bool, message: str) -> str:
    """Every file of ``folder`` to the model repository ``repo``, made if there is none; the commit's hash.

    Raises:
        UnreachableError: there is no network.
        ValueError: no token, one that may not write, or a hub that refuses; no message holds the token.
    """
    if get_token() is None:
        raise ValueError(f"nothing was uploaded: put a token that may write into the environment variable {VARIABLE}")

    def call() -> str:
        try:
            HfApi().create_repo(repo, private=private, exist_ok=True)
            return HfApi().upload_folder(repo_id=repo, folder_path=folder, commit_message=message).oid
        except HfHubHTTPError as error:
            if error.response.status_code in (401, 403):
                raise ValueError(
                    f"the hub does not let this token write to {repo}; check the name, and that {VARIABLE} holds a"
                    " token with write access"
                ) from None
            raise
        except RuntimeError as error:  # huggingface_hub's word for a large file that failed; the reason is its cause
            raise (error.__cause__ or error) from None

    try:
        return patiently(call, repo, "main", None)
    except HFValidationError as error:
        raise ValueError(f"{repo!r} is no name of a repository: {_short(error)}") from None


def patiently(call: Callable[[], T], repo: str, revision: str, name: str | None) -> T:
    """``call``, again while the hub answers 5xx; every failure as one sentence without a token in it.

    Raises:
        GatedError, UnreachableError, ValueError: see :func:`fetch`.
    """
    what = f"{name} of {repo}" if name else repo
    network.look()
    for wait in (*PATIENCE, None):
        try:
            return call()
        except GatedRepoError:
            raise GatedError(
                f"{repo} is gated: accept its licence at {constants.ENDPOINT}/{repo}, create a token there and put it"
                f" into the environment variable {VARIABLE}"
            ) from None
        except RevisionNotFoundError:
            raise ValueError(
                f"{repo} has no revision {revision!r} (any more); run `snakemake fetch_paper` to pin today's, and"
                " compare the numbers"
            ) from None
        except RepositoryNotFoundError:
            raise ValueError(
                f"no repository {repo!r} on {constants.ENDPOINT}, or it is private; check the name, or set {VARIABLE}"
            ) from None
        except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
            if isinstance(error.__cause__, HfHubHTTPError):  # huggingface_hub itself waited and gave up
                raise _answered(error.__cause__, what) from None
            raise UnreachableError(
                f"{what} is not in the cache and the hub cannot be reached ({_short(error)})"
            ) from None
        except EntryNotFoundError:
            raise ValueError(f"{repo} at {revision[:12]} has no file {name!r}; {word('name the SAE')}") from None
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status < 500 or wait is None:
                raise ValueError(
                    f"the hub answered {status} for {what}; wait a while and run the same line again"
                ) from None
            time.sleep(wait)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):  # the cache, not the network
                raise
            # connections and time-outs of httpx are ConnectionErrors or plain OSErrors
            raise UnreachableError(
                f"{what} is not in the cache and the hub cannot be reached ({_short(error)})"
            ) from None
        except Exception as error:
            if not type(error).__module__.startswith("httpx"):
                raise
            raise UnreachableError(
                f"{what} is not in the cache and the hub cannot be reached ({_short(error)})"
            ) from None
    raise AssertionError("the last try returns or raises")


def missing(repo: str, revision: str, names: Sequence[str], kind: Kind = "model") -> list[str]:
    """Those of ``names`` that the cache lacks; no network is asked."""
    return [n for n in names if not isinstance(_cached(repo, revision, n, kind), str)]


def check_access(repo: str, revision: str, name: str, kind: Kind = "model") -> None:
    """Ask for the header of one file.

    Raises:
        GatedError, UnreachableError, ValueError: see :func:`fetch`.
    """
    url = hf_hub_url(repo, name, repo_type=kind, revision=revision)
    patiently(lambda: get_hf_file_metadata(url), repo, revision, name)


def offline() -> bool:
    """Whether the person has forbidden the network, or there is none."""
    network.look()
    return bool(constants.HF_HUB_OFFLINE)


def snapshot(repo: str, revision: str, kind: Kind = "model") -> Path | None:
    """Where the cache keeps ``revision``, whole or not; None where it has nothing of it."""
    base = Path(constants.HF_HUB_CACHE) / f"{kind}s--{repo.replace('/', '--')}"
    reference = base / "refs" / revision
    folder = base / "snapshots" / (reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision)
    return folder if folder.is_dir() else None


def cached_names(repo: str, revision: str, kind: Kind = "model") -> list[str]:
    """Every file of ``revision`` that the cache has."""
    listing = _from_cache(repo, revision, kind)
    return [] if listing is None else sorted(listing.entries)


def _cached(repo: str, revision: str, name: str, kind: Kind) -> object:
    return try_to_load_from_cache(repo, name, revision=revision, repo_type=kind)


def _from_cache(repo: str, revision: str, kind: Kind) -> Listing | None:
    """What the cache has, whole or not; hashes are unknown without a lock file."""
    folder = snapshot(repo, revision, kind)
    files = [] if folder is None else [p for p in folder.rglob("*") if p.is_file()]
    if folder is None or not files:
        return None
    return Listing(folder.name, {p.relative_to(folder).as_posix(): Entry(p.stat().st_size, None) for p in files})


def _download(repo: str, revision: str, name: str, kind: Kind) -> Path:
    # a name such as main is asked of the hub, which notes its commit in the cache for use without network
    cached = _cached(repo, revision, name, kind) if COMMIT.fullmatch(revision) else None
    if isinstance(cached, str):
        return Path(cached)
    return Path(patiently(lambda: hf_hub_download(repo, name, revision=revision, repo_type=kind), repo, revision, name))


def _answered(error: HfHubHTTPError, what: str) -> ValueError:
    status = error.response.status_code
    return ValueError(f"the hub answered {status} for {what}; wait a while and run the same line again")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
