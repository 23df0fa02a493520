//! Asks git about the repository of a directory, without changing anything there.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::context::Context;
use crate::tools::Program;

/// Variables that lead git to another repository than that of the directory it is
/// called in; they are set where a hook of git calls us.
const LEADS_ELSEWHERE: [&str; 3] = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"];

/// A way to ask git about the repository of a directory: what it prints, where it succeeds.
/// `None` without git.
pub(super) fn git(dir: &Path, context: &Context) -> Option<impl Fn(&[&str]) -> Option<Vec<u8>>> {
    let program = Program::find(OsStr::new("git"), &context.host).ok()?;
    Some(move |args: &[&str]| {
        // It must not write to the repository, nor start what that names.
        let fixed = ["--no-optional-locks", "-c", "core.fsmonitor=false", "-C"];
        let mut all: Vec<OsString> = fixed.iter().map(OsString::from).collect();
        all.push(dir.into());
        all.extend(args.iter().map(OsString::from));
        let answer = program.capture_without(&all, &LEADS_ELSEWHERE).ok()?;
        answer.succeeded().then_some(answer.stdout)
    })
}
