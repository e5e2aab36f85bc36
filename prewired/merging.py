"""Merges two renders of the template into a service, and applies the result at once."""

import os
import shlex
import signal
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prewired.errors import HalfDoneError, PrewiredError
from prewired.git import AS_RENDERED, NOBODY, Git, GitError
from prewired.project import ANSWERS, Project, Step

Stages = dict[int, tuple[str, str]]
"""Mode and object of a file, by stage: 1 is the base, 2 the owner's, 3 the template's."""


@dataclass
class Plan:
    """What an update does to the work tree. Paths are relative to its root."""

    before: str
    """The tree of HEAD."""
    after: str
    """The tree to check out."""
    conflicts: dict[str, Stages] = field(default_factory=dict)
    """Files to resolve."""
    stay_deleted: list[str] = field(default_factory=list)
    """Files that the owner deleted and the template changed."""
    changes: dict[str, str] = field(default_factory=dict)
    """Changed files, with git's letter: A (added), D (deleted), M (modified)."""


def merge(project: Project, base: Path, new: Path, owned: Sequence[str] = ()) -> Plan:
    """Merge the difference between two renders into a project, without changing its files.

    Args:
        project: the project, without changes that are not committed.
        base: render of the project's release.
        new: render of the new release.
        owned: files and folders that are the owner's alone; the renders do not contain them.

    Raises:
        GitError: git fails.
    """
    root = project.root
    head = project.head_tree
    with tempfile.TemporaryDirectory() as temporary:
        base_tree, new_tree = (
            _tree(project, render, Path(temporary, f"index-{number}"), head)
            for number, render in enumerate((base, new))
        )
        # Otherwise, git could take an owner's file for a moved file of the template.
        index = Git(root.folder, AS_RENDERED, {"GIT_INDEX_FILE": str(Path(temporary, "index"))})
        paths = [f"{project.prefix}{path}" for path in owned]
        kept = root("ls-tree", "-r", "-z", head, "--", *paths) if paths else ""
        index("read-tree", head)
        index("update-index", "--force-remove", "-z", "--stdin", given=_names_in(kept))
        shared = index("write-tree").strip()
        merged, conflicts = _merge_trees(root, base_tree, shared, new_tree)
        index("read-tree", merged)
        stay_deleted = _settle(project, conflicts, new_tree, index)
        index("update-index", "-z", "--index-info", given=kept)
        after = index("write-tree").strip()
    return Plan(head, after, conflicts, stay_deleted, project.changes_between(head, after))


def _names_in(listed: str) -> str:
    """Return the names in the output of `git ls-tree -z`, in the same form."""
    entries = filter(None, listed.split("\0"))
    return "".join(entry.partition("\t")[2] + "\0" for entry in entries)


def _tree(project: Project, render: Path, index: Path, head: str) -> str:
    """Return the tree of HEAD with a render in place of the project."""
    variables = {"GIT_DIR": project.root("rev-parse", "--absolute-git-dir").rstrip("\n")}
    rendered = Git(
        render,
        AS_RENDERED,
        {**variables, "GIT_WORK_TREE": str(render), "GIT_INDEX_FILE": str(index)},
    )
    rendered("add", "--force", "--all", ".")
    tree = rendered("write-tree").strip()
    if not project.prefix:
        return tree
    whole = Git(project.root.folder, AS_RENDERED, {"GIT_INDEX_FILE": str(index)})
    whole("read-tree", head)
    whole("rm", "--quiet", "-r", "--cached", "--ignore-unmatch", "--", project.prefix)
    whole("read-tree", f"--prefix={project.prefix}", tree)
    return whole("write-tree").strip()


def _merge_trees(root: Git, base: str, ours: str, theirs: str) -> tuple[str, dict[str, Stages]]:
    """Merge two trees, and return the tree and the conflicts."""
    as_nobody = Git(root.folder, {}, NOBODY)

    def commit(tree: str, *parents: str) -> str:
        options = [option for parent in parents for option in ("-p", parent)]
        return as_nobody("commit-tree", tree, *options, "-m", "prewired").strip()

    common = commit(base)
    sides = commit(ours, common), commit(theirs, common)
    finished = as_nobody.run("merge-tree", "--write-tree", "--no-messages", "-z", *sides)
    if finished.returncode not in (0, 1) or (finished.returncode and not finished.stdout):
        raise GitError(f"git merge-tree failed: {finished.stderr.strip()}")
    merged, *entries = finished.stdout.split("\0")
    conflicts: dict[str, Stages] = defaultdict(dict)
    for entry in filter(None, entries):
        facts, _, name = entry.partition("\t")
        mode, found, stage = facts.split()
        conflicts[name][int(stage)] = (mode, found)
    return _relabelled(root, merged, dict(conflicts), sides)


def _relabelled(
    root: Git, tree: str, conflicts: dict[str, Stages], sides: tuple[str, str]
) -> tuple[str, dict[str, Stages]]:
    """Replace the names of temporary commits in conflict markers and in names of files."""

    def relabel(text: str, mark: str, labels: tuple[str, str]) -> str:
        for side, label in zip(sides, labels, strict=True):
            text = text.replace(f"{mark}{side}", f"{mark}{label}")
        return text

    def rename(name: str) -> str:
        return relabel(name, "~", ("yours", "template"))

    with tempfile.TemporaryDirectory() as temporary:
        index = Git(root.folder, AS_RENDERED, {"GIT_INDEX_FILE": str(Path(temporary, "index"))})
        index("read-tree", tree)
        # If a file and a folder have the same name, git appends a commit to that of the file.
        for entry in filter(None, index("ls-files", "--stage", "-z").split("\0")):
            facts, _, name = entry.partition("\t")
            if rename(name) != name:
                mode, identity, _ = facts.split()
                index("update-index", "--force-remove", "--", name)
                index("update-index", "--add", "--cacheinfo", f"{mode},{identity},{rename(name)}")
        conflicts = {rename(name): stages for name, stages in conflicts.items()}
        for name in conflicts:
            mode, _, rest = index("ls-files", "--stage", "-z", "--", name).partition(" ")
            if mode not in ("100644", "100755"):
                continue
            text = index("cat-file", "blob", rest.split()[0])
            marked = relabel(text, " ", ("yours", "the template's"))
            blob = index("hash-object", "-w", "--stdin", given=marked).strip()
            index("update-index", "--cacheinfo", f"{mode},{blob},{name}")
        return index("write-tree").strip(), conflicts


def _settle(project: Project, conflicts: dict[str, Stages], new: str, index: Git) -> list[str]:
    """Decide the conflicts that need no decision by the owner, in the index.

    Returns:
        The files that the owner deleted and the template changed.
    """
    answers = f"{project.prefix}{ANSWERS}"
    entry = index("ls-tree", new, "--", answers).partition("\t")[0].split()
    index("update-index", "--add", "--cacheinfo", f"{entry[0]},{entry[2]},{answers}")
    conflicts.pop(answers, None)
    stay_deleted = [name for name, stages in conflicts.items() if stages.keys() == {1, 3}]
    for name in stay_deleted:
        index("update-index", "--force-remove", "--", name)
        del conflicts[name]
    return stay_deleted


def check_way(project: Project, plan: Plan) -> None:
    """Check that no file on disk is in the way of the plan.

    Raises:
        PrewiredError: a file would be overwritten that git does not know, or knows otherwise.
    """
    folder = project.root.folder
    in_the_way = [
        name
        for name, kind in plan.changes.items()
        if kind == "A" and _exists_on_the_way(folder, name)
    ]
    if in_the_way:
        raise PrewiredError(
            f"The template has new files where you have others: {', '.join(sorted(in_the_way))}. "
            "Move or commit yours, and try again."
        )
    names = [name for name, kind in plan.changes.items() if kind != "A"]
    known, disk = project.objects_in(plan.before, names), project.objects_on_disk(names)
    for name in names:
        if os.path.lexists(folder / name) and disk.get(name) != known[name][1]:
            path = shlex.quote(os.path.relpath(folder / name, project.folder))
            raise PrewiredError(
                f"{name} differs from its last commit, although git does not say so: run "
                f"`git update-index --no-assume-unchanged --no-skip-worktree {path}`, commit, and "
                "try again."
            )


def _exists_on_the_way(root: Path, name: str) -> bool:
    folders = [root / folder for folder in Path(name).parents if folder != Path()]
    return os.path.lexists(root / name) or any(
        folder.is_symlink() or (folder.exists() and not folder.is_dir()) for folder in folders
    )


def apply(project: Project, plan: Plan) -> None:
    """Change the work tree and the index as planned; on failure, restore them.

    Raises:
        PrewiredError: nothing was changed, for example because a file is in the way.
        HalfDoneError: files were changed, and could not be restored.
    """
    git = Git(project.root.folder, detached=True)
    step = Step(plan.before, plan.after, [*plan.conflicts])
    with _undisturbed(), project.journal(step):
        # Another update could have been applied in the meantime.
        project.check_clean()
        if project.head_tree != plan.before:
            raise PrewiredError("There is a new commit: try again.")
        check_way(project, plan)
        try:
            git("read-tree", "-m", "-u", plan.before, plan.after)
            if plan.conflicts:
                git("update-index", "-z", "--index-info", given=_index_info(plan.conflicts))
        except GitError as error:
            try:
                left = project.restore(step)
            except (GitError, OSError):
                left = ["your files"]
            if left:
                raise HalfDoneError(
                    f"{error} Run this command again to restore your files."
                ) from None
            raise PrewiredError(f"Nothing was changed: {error}") from None


def _index_info(conflicts: dict[str, Stages]) -> str:
    lines = []
    for name, stages in conflicts.items():
        width = len(next(iter(stages.values()))[1])
        lines.append(f"0 {'0' * width}\t{name}")
        lines += [f"{mode} {found} {stage}\t{name}" for stage, (mode, found) in stages.items()]
    return "".join(f"{line}\0" for line in lines)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore signals that ask the process to end."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
