//! Real projects, in a directory that `PIXI_LOCK_SAMPLES` names.

use super::*;
use testbed::sandbox::words;

/// The words of each reason to refuse a project that names what cannot be.
const CANNOT_BE: [&str; 6] = [
    "no packages of environment",
    "no environment of pixi.lock has packages for",
    "and the image is for",
    "outside of the project",
    "with different content",
    "has it built for",
];

/// The directories at and below one that have a lock.
fn projects(top: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![top.to_owned()];
    while let Some(dir) = open.pop() {
        if dir.join("pixi.lock").is_file() {
            found.push(dir.clone());
        }
        let entries = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap());
        let dirs = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        open.extend(dirs.map(|entry| entry.path()));
    }
    found.sort();
    found
}

#[test]
fn each_real_project_is_accepted_or_refused_for_what_cannot_be() {
    let Some(top) = std::env::var_os("PIXI_LOCK_SAMPLES") else {
        eprintln!("not checked: PIXI_LOCK_SAMPLES is not set");
        return;
    };
    let projects = projects(Path::new(&top));
    assert!(!projects.is_empty(), "no sample");
    let fake = Fake::new();
    for project in projects {
        for more in [None, Some("--all-environments")] {
            let args = words("--image img:1 --workdir W --dry-run --project-dir");
            let args = args.iter().map(OsStr::new).chain([project.as_os_str()]);
            let args = args.chain(more.map(OsStr::new));
            let run = fake.sandbox.run("build-offline-product", args);
            let is_known = CANNOT_BE.iter().any(|reason| run.stderr.contains(reason));
            assert!(
                run.code == 0 || run.code == 2 && is_known,
                "{}\n{run}",
                project.display()
            );
            eprintln!("{}: {}", project.display(), run.code);
        }
    }
    assert!(!fake.path("W").exists());
}
