"""Merges two renders of the template into a service, and applies the result at once."""

import os
import signal
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prewired.errors import PrewiredError
from prewired.git import AS_RENDERED, NOBODY, Git, GitError
from prewired.project import ANSWERS, JOURNAL, Project

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
    head = root("rev-parse", "HEAD^{tree}").strip()
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
        plan = Plan(head, merged, conflicts)
        _settle(project, plan, new_tree, index)
        index("update-index", "-z", "--index-info", given=kept)
        plan.after = index("write-tree").strip()
    listed = root("diff-tree", "-r", "-z", "--name-status", "--no-renames", head, plan.after)
    parts = listed.split("\0")
    plan.changes = dict(zip(parts[1::2], parts[0::2], strict=False))
    return plan


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
    return _relabelled(root, merged, conflicts, sides), dict(conflicts)


def _relabelled(root: Git, tree: str, conflicts: dict[str, Stages], sides: tuple[str, str]) -> str:
    """Replace the names of temporary commits in conflict markers."""
    with tempfile.TemporaryDirectory() as temporary:
        index = Git(root.folder, AS_RENDERED, {"GIT_INDEX_FILE": str(Path(temporary, "index"))})
        index("read-tree", tree)
        for name in conflicts:
            mode, _, rest = index("ls-files", "--stage", "-z", "--", name).partition(" ")
            if mode not in ("100644", "100755"):
                continue
            text = index("cat-file", "blob", rest.split()[0])
            for side, label in zip(sides, ("yours", "the template's"), strict=True):
                text = text.replace(f" {side}", f" {label}")
            blob = index("hash-object", "-w", "--stdin", given=text).strip()
            index("update-index", "--cacheinfo", f"{mode},{blob},{name}")
        return index("write-tree").strip()


def _settle(project: Project, plan: Plan, new: str, index: Git) -> None:
    """Decide the conflicts that need no decision by the owner, in the index."""
    index("read-tree", plan.after)
    answers = f"{project.prefix}{ANSWERS}"
    entry = index("ls-tree", new, "--", answers).partition("\t")[0].split()
    index("update-index", "--add", "--cacheinfo", f"{entry[0]},{entry[2]},{answers}")
    plan.conflicts.pop(answers, None)
    for name, stages in list(plan.conflicts.items()):
        if stages.keys() == {1, 3}:
            index("update-index", "--force-remove", "--", name)
            plan.stay_deleted.append(name)
            del plan.conflicts[name]


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
    for name, kind in plan.changes.items():
        file = folder / name
        if kind == "A" or not os.path.lexists(file):
            continue
        known = project.root("rev-parse", f"{plan.before}:{name}").strip()
        if project.root("hash-object", f"--path={name}", "--", str(file)).strip() != known:
            raise PrewiredError(
                f"{name} differs from its last commit, although git does not say so: run "
                f"`git update-index --no-assume-unchanged --no-skip-worktree {name}`, commit, and "
                "try again."
            )


def _exists_on_the_way(root: Path, name: str) -> bool:
    path = root / name
    if os.path.lexists(path):
        return True
    folders = [parent for parent in path.parents if parent != root and root in parent.parents]
    return any(os.path.lexists(folder) and not folder.is_dir() for folder in folders)


def apply(project: Project, plan: Plan) -> None:
    """Change the work tree and the index as planned; on failure, restore them.

    Raises:
        PrewiredError: nothing was changed, for example because the disk is full.
    """
    root = project.root
    journal = project.git_path(JOURNAL)
    with _undisturbed():
        journal.write_text(f"{plan.before} {plan.after}", encoding="ascii")
        try:
            root("read-tree", "-m", "-u", plan.before, plan.after)
            if plan.conflicts:
                root("update-index", "-z", "--index-info", given=_index_info(plan.conflicts))
        except GitError as error:
            restored = root.run("read-tree", "--reset", "-u", plan.before)
            if restored.returncode == 0:
                journal.unlink()
                raise PrewiredError(f"Nothing was changed: {error}") from None
            raise PrewiredError(f"{error} Run this command again to restore your files.") from None
        journal.unlink()


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
