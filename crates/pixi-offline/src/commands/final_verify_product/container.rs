//! The container of a final verification: its directories, script and memory.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::request::{COMMAND, VerifyRequest};
use super::require_mountable;
use crate::container::scripts::{self, Script};
use crate::container::{Engine, Network, Pull, Tmpfs};
use crate::context::Context;
use crate::layout::OfflineLogs;
use crate::request::{EnvironmentName, ProjectName};
use crate::staging;
use crate::workspace::agent_request;
use crate::workspace::{ContainerTree, DirRole, NewContainer, ScriptPlace, ScriptRun, TreeDir};

/// What a file takes in memory beyond its content, in bytes: a page of its last
/// partial content, and the kernel's own structures.
const MEMORY_PER_ENTRY: u64 = 6 * 1024;

/// The arguments that the engine's client would get, but for `--tmpfs`.
///
/// # Errors
///
/// As the run, for what cannot be said to the client.
pub(crate) fn planned_arguments(
    request: &VerifyRequest,
    engine: &Engine,
    context: &Context,
) -> anyhow::Result<Vec<OsString>> {
    let product_dir = context.host.absolute(&request.product_dir);
    let out_dir = context.host.absolute(&request.out_dir);
    require_mountable(&product_dir, &out_dir)?;
    let logs = OfflineLogs::new(out_dir);
    let script = |place: ScriptPlace<'_>| script(request, place.nonce);
    let run = ScriptRun {
        variables: &request.variables,
        // Its size follows from the product, which is not there yet.
        tmpfs: None,
        script: &script,
    };
    let tree = tree(request, &product_dir, &logs);
    container_for(request, engine, context)?.arguments(&tree, request.transfer, &run, context)
}

pub(super) fn container_for<'a>(
    request: &'a VerifyRequest,
    engine: &'a Engine,
    context: &Context,
) -> anyhow::Result<NewContainer<'a>> {
    Ok(NewContainer {
        engine,
        command: COMMAND,
        image: &request.image,
        platform: request.platform.as_ref(),
        engine_arguments: &[],
        network: Network::None,
        pull: Pull::Never,
        counting: Some(agent_request::counting(context)?),
        gpus: request.gpus.as_ref(),
        // There is no network to reach anything through.
        access: None,
    })
}

/// Product and out directory, which are in one directory inside the container.
pub(super) fn tree(
    request: &VerifyRequest,
    product_dir: &Path,
    logs: &OfflineLogs,
) -> ContainerTree {
    let (role, target) = match request.in_place {
        true => (DirRole::Write, scripts::PRODUCT),
        false => (DirRole::Read, scripts::PRODUCT_SOURCE),
    };
    let root = Path::new(scripts::OUT).parent();
    ContainerTree {
        root: root.map_or(String::new(), |root| root.display().to_string()),
        dirs: vec![
            TreeDir::new(DirRole::Out, logs.container_out(), scripts::OUT),
            TreeDir::new(role, product_dir, target),
        ],
    }
}

pub(super) fn script(request: &VerifyRequest, nonce: &str) -> anyhow::Result<Script> {
    let how = if request.in_place { "in-place" } else { "copy" };
    let name = request.project_name.as_ref();
    let name = name.map_or(Ok(""), ProjectName::as_utf8)?;
    let expected = request.expectations.files().join("\n");
    let environment = request.verify_environment.as_ref();
    let chosen = if environment.is_some() { "chosen" } else { "" };
    Ok(Script::new(
        scripts::FINAL_VERIFY,
        nonce,
        &[
            ("how", how),
            ("name", name),
            ("environment", chosen),
            ("expected_files", &expected),
        ],
        request
            .verification
            .pixi_args(environment.map(EnvironmentName::as_str)),
    ))
}

pub(super) fn tmpfs_for(request: &VerifyRequest, product_dir: &Path, memory: u64) -> Option<Tmpfs> {
    let size = memory_for(product_dir, memory).filter(|_| !request.in_place)?;
    Some(Tmpfs {
        target: scripts::PRODUCT.to_owned(),
        size,
    })
}

/// The size of a file system in memory for the product and what is installed
/// from it, in bytes; `None` when that would not fit well. Through the disk the
/// copy of a product of 100,000 files takes several times as long.
fn memory_for(product_dir: &Path, available: u64) -> Option<u64> {
    let mut walk = ignore::WalkBuilder::new(product_dir);
    walk.standard_filters(false).follow_links(false);
    let entries = walk.build().count() as u64;
    // Links count as themselves.
    let bytes = fs_extra::dir::get_size(product_dir).ok()?;
    let product = bytes + entries * MEMORY_PER_ENTRY;
    // The environment links to the cache's files where it can; where it copies
    // them, it is as large again, and a verification writes something too.
    let wanted = 3 * product + 256 * 1024 * 1024;
    (wanted <= available / 2).then_some(available / 2)
}

/// A copy of this program in the container's out directory, which copies the product inside the
/// container (`AgentRequest::Copy`). Without it the image's cp does that.
pub(super) struct CopyAgent(PathBuf);

impl CopyAgent {
    pub(super) fn lay(out_dir: &Path, context: &Context) -> CopyAgent {
        let copier = CopyAgent(out_dir.join(scripts::COPY_AGENT));
        if staging::copy_file(&context.host.program, &copier.0).is_err() {
            let _ = fs::remove_file(&copier.0);
        }
        copier
    }
}

impl Drop for CopyAgent {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
