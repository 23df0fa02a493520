//! What a run leaves outside of what the next run stages: archives and logs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::request::{OfflineProductRequest, Source};
use crate::commands::make_product::MadeProduct;
use crate::context::Context;
use crate::evidence;
use crate::evidence::sums::needs_escape;
use crate::failure::Failure;
use crate::layout::Workdir;
use crate::product::is_product;
use crate::project::ProjectRules;
use crate::quote::pasteable_line;
use crate::staging::Selection as _;
use crate::tools::Program;

/// The program that packs a product.
const PACKER: &str = "pack-product";

/// Requires a place for the archive that is neither replaced nor staged by the next run.
///
/// # Errors
///
/// Exit code 2 for another one.
pub(super) fn require_archive(
    request: &OfflineProductRequest,
    workdir: &Workdir,
    product: &Path,
    context: &Context,
) -> anyhow::Result<()> {
    let Some(archive) = &request.archive else {
        return Ok(());
    };
    let file = archive.file();
    let mut replaced = [workdir.path(), product].into_iter();
    if let Some(dir) = replaced.find(|dir| file.starts_with(dir)) {
        return Err(Failure::usage(format!(
            "--archive {} is in {}, which is replaced; choose another place",
            file.display(),
            dir.display()
        )));
    }
    require_not_staged("--archive", file, false, request, workdir, context)
}

/// Requires a directory for the logs, where one was named, that the next run does not stage.
///
/// # Errors
///
/// Exit code 2 for another one.
pub(super) fn require_out_dir(
    request: &OfflineProductRequest,
    workdir: &Workdir,
    out_dir: &Path,
    context: &Context,
) -> anyhow::Result<()> {
    match request.out_dir {
        Some(_) => require_not_staged("--out-dir", out_dir, true, request, workdir, context),
        None => Ok(()),
    }
}

fn require_not_staged(
    option: &str,
    path: &Path,
    is_dir: bool,
    request: &OfflineProductRequest,
    workdir: &Workdir,
    context: &Context,
) -> anyhow::Result<()> {
    if !is_staged(path, is_dir, request, workdir, context)? {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{option} {} is in the project, and the next build would put it into the product; choose a place outside of the project, or --exclude it",
        path.display()
    )))
}

/// Whether a run stages what is at this path, as a part of a project on this machine.
fn is_staged(
    path: &Path,
    is_dir: bool,
    request: &OfflineProductRequest,
    workdir: &Workdir,
    context: &Context,
) -> anyhow::Result<bool> {
    let Source::Host(source) = &request.source else {
        return Ok(false);
    };
    let project = real(&context.host.absolute(&source.project_dir));
    let path = real(path);
    let of_workdirs = request.workdirs.as_deref().into_iter();
    let mut own = of_workdirs.chain([workdir.path()]).map(real);
    if !path.starts_with(&project) || own.any(|dir| path.starts_with(dir)) {
        return Ok(false);
    }
    let mut dirs = path.ancestors().take_while(|dir| **dir != *project);
    if dirs.any(|dir| evidence::is_never_staged(dir) || is_product(dir)) {
        return Ok(false);
    }
    let root = source.build.source_root.as_ref();
    let top = root.map_or(project, |root| real(&context.host.absolute(&root.dir)));
    let rules = ProjectRules::new(&source.build.excludes)?;
    let relative = path.strip_prefix(&top).unwrap_or(&path);
    let mut above = relative.ancestors().skip(1);
    Ok(!rules.excludes(relative, is_dir) && !above.any(|dir| rules.excludes(dir, true)))
}

/// The path without links, as far as it is there.
fn real(path: &Path) -> PathBuf {
    let mut dirs = path.ancestors();
    let there = dirs.find_map(|dir| Some((dir, dir.canonicalize().ok()?)));
    match there {
        Some((dir, real)) => match path.strip_prefix(dir) {
            Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
            _ => real,
        },
        None => path.to_owned(),
    }
}

/// The command line that packs the product into a file that stays, and that no run stages.
pub(super) fn next(
    request: &OfflineProductRequest,
    workdir: &Workdir,
    product: &MadeProduct,
    context: &Context,
) -> String {
    let beside = |name: &str| context.host.program.with_file_name(name);
    let can_pack = beside(PACKER).is_file();
    let ending = if can_pack { "tar.zst" } else { "tar" };
    // The name of the archive is in a list of checksums.
    let name = match &product.facts.project.name {
        name if needs_escape(name.as_bytes()) => "product",
        name => name,
    };
    let name = format!("{name}.{ending}");
    let file = archive_place(&name, request, workdir, context);
    let mut args: Vec<OsString> = Vec::new();
    if can_pack {
        match Program::find("pixi-offline".as_ref(), &context.host) {
            Ok(_) => args.extend(["pixi-offline".into(), "pack".into()]),
            Err(_) => args.push(beside(PACKER).into()),
        }
        if file.exists() {
            args.push("--force".into());
        }
        args.extend([product.path.clone().into(), file.into()]);
    } else if let (Some(dir), Some(name)) = (product.path.parent(), product.path.file_name()) {
        args.extend(["tar".into(), "-C".into(), dir.into(), "-cf".into()]);
        args.extend([file.into(), name.to_owned()]);
    }
    pasteable_line(&args)
}

/// Beside the workdir, or beside the project where the next run would stage that.
fn archive_place(
    name: &str,
    request: &OfflineProductRequest,
    workdir: &Workdir,
    context: &Context,
) -> PathBuf {
    let file = workdir.path().with_file_name(name);
    match &request.source {
        Source::Host(source)
            if is_staged(&file, false, request, workdir, context).unwrap_or(true) =>
        {
            let project = real(&context.host.absolute(&source.project_dir));
            project.with_file_name(name)
        }
        _ => file,
    }
}
