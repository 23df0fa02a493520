//! What git says of the directory that a project is staged from.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::context::Context;
use crate::evidence::{self, SourceState};
use crate::project::git::git;
use crate::project::source_tree::SourceTree;

/// The commit of what is staged: that of the source root, else the project's own, where only
/// the project is in a repository. As [`of`] otherwise.
pub(crate) fn of_tree(source: &SourceTree, context: &Context) -> Option<SourceState> {
    of(source.dir(), context).or_else(|| {
        let alone = source.in_root().is_empty();
        (!alone).then(|| of(&source.project(), context)).flatten()
    })
}

/// The commit of a project, and whether the project differs from it; workdirs of
/// ours in it do not count. `None` without git, without a repository or a commit,
/// or where git refuses to look (a repository of another user).
fn of(project: &Path, context: &Context) -> Option<SourceState> {
    let git = git(project, context)?;
    let line = |bytes: Vec<u8>| {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes).to_owned();
        OsStr::from_bytes(&bytes).to_owned()
    };
    let commit = line(git(&["rev-parse", "--verify", "HEAD"])?);
    let top = line(git(&["rev-parse", "--show-toplevel"])?);
    let status = [
        "status",
        "--porcelain=v1",
        "-z",
        "--no-renames",
        "--untracked-files=all",
        "--",
        ".",
    ];
    let dirty = git(&status).map(|status| {
        status
            .split(|&byte| byte == 0)
            .filter(|entry| !entry.is_empty())
            .any(|entry| {
                let unknown = entry.strip_prefix(b"?? ");
                !unknown.is_some_and(|path| {
                    let path = Path::new(&top).join(OsStr::from_bytes(path));
                    path.ancestors().any(evidence::is_workdir)
                })
            })
    });
    Some(SourceState {
        commit: commit.to_str()?.to_owned(),
        dirty,
    })
}
