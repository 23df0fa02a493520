//! The Python part of a cache, written by the real uv: what a product makes of
//! it, and that uv installs from it without a network at another path. This
//! needs no pixi that can do PyPI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testbed::limit::InTime as _;
use testbed::python::{PythonIndex, ensure_python_index, ensure_uv};
use testbed::sandbox::{Run, Sandbox, words};

/// A workdir whose cache uv has filled with a wheel, a source distribution, both
/// by their addresses too, and a git dependency; and the python it was for.
struct Workdir {
    sandbox: Sandbox,
    uv: PathBuf,
    index: PythonIndex,
}

const FROM_INDEX: [&str; 3] = ["plain-wheel==1.0", "old-sdist==1.0", "new-sdist==1.0"];

impl Workdir {
    fn filled() -> Workdir {
        let workdir = Workdir {
            sandbox: Sandbox::new(),
            uv: ensure_uv().unwrap(),
            index: ensure_python_index().unwrap(),
        };
        for dir in ["project/demo", "out"] {
            fs::create_dir_all(workdir.path("W").join(dir)).unwrap();
        }
        workdir.sandbox.write("W/project/demo/pixi.toml", "");
        let url = workdir.index.simple();
        let everything = workdir.everything();
        workdir
            .uv(
                "W/pixi-cache/uv-cache",
                "venv-online",
                &["--index-url", &url],
                &everything,
            )
            .success();
        workdir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.sandbox.work().join(name)
    }

    /// What uv finds by its address alone.
    fn by_address(&self) -> Vec<String> {
        let index = &self.index;
        vec![
            format!("direct-wheel @ {}", index.direct_wheel()),
            format!("direct-sdist @ {}", index.direct_sdist()),
        ]
    }

    /// That, and what uv looks up in the index. Without a lock uv asks a repository for
    /// versions too, which a product does not have.
    fn found_without_a_repository(&self) -> Vec<String> {
        let from_index = FROM_INDEX.iter().map(|name| (*name).to_owned());
        from_index.chain(self.by_address()).collect()
    }

    /// All of it.
    fn everything(&self) -> Vec<String> {
        let index = &self.index;
        let git = format!("from-git @ git+{}@{}", index.repository(), index.revision());
        let mut everything = self.found_without_a_repository();
        everything.push(git);
        everything
    }

    /// `uv pip install` with a cache into a new virtual environment.
    fn uv(&self, cache: &str, environment: &str, options: &[&str], requirements: &[String]) -> Run {
        let cache = self.path(cache);
        let python = Command::new("python3")
            .args(["-c", "import sys; print(sys.executable)"])
            .output_in_time()
            .unwrap();
        let python = String::from_utf8(python.stdout).unwrap();
        let uv = |args: &[&str]| {
            let mut command = self.sandbox.program(&self.uv);
            command
                .env("UV_CACHE_DIR", &cache)
                .env("UV_NO_CONFIG", "1")
                .args(args);
            Run::of(&mut command)
        };
        let environment = self.path(environment);
        let environment = environment.to_str().unwrap();
        uv(&[
            "venv",
            "--quiet",
            "--offline",
            "--python",
            python.trim(),
            environment,
        ])
        .success();
        let args: Vec<&str> = ["pip", "install", "--python", environment]
            .into_iter()
            .chain(options.iter().copied())
            .chain(requirements.iter().map(String::as_str))
            .collect();
        uv(&args)
    }

    /// A lock as pixi would write it.
    fn lock(&self, more: &str) {
        let index = &self.index;
        let host = index.simple();
        let packages = [
            (
                format!("{host}/plain-wheel/plain_wheel-1.0-py3-none-any.whl"),
                "plain-wheel",
            ),
            (
                format!("{host}/old-sdist/old_sdist-1.0.tar.gz"),
                "old-sdist",
            ),
            (
                format!("{host}/new-sdist/new_sdist-1.0.tar.gz"),
                "new-sdist",
            ),
            (index.direct_wheel(), "direct-wheel"),
            (index.direct_sdist(), "direct-sdist"),
            (
                format!("git+{}?rev={1}#{1}", index.repository(), index.revision()),
                "from-git",
            ),
        ];
        let mut used: String = packages
            .iter()
            .map(|(url, _)| format!("\n      - pypi: {url}"))
            .collect();
        used.push_str(more);
        let described: String = packages
            .iter()
            .map(|(url, name)| format!("- pypi: {url}\n  name: {name}\n  version: '1.0'\n"))
            .collect();
        let more = if more.is_empty() {
            ""
        } else {
            "- pypi: ./\n  name: demo\n  version: 0.1.0\n  editable: true\n"
        };
        let lock = format!(
            "version: 6\nenvironments:\n  default:\n    channels:\n    - url: https://conda.example/c/\n    indexes:\n    - {host}\n    packages:\n      linux-64:{used}\npackages:\n{described}{more}"
        );
        self.sandbox.write("W/project/demo/pixi.lock", lock);
    }

    fn make(&self, more: &[&str]) -> Run {
        self.sandbox.run(
            "make-archive-ready-product",
            ["--workdir", "W"].iter().chain(more),
        )
    }
}

fn links(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            found.push(path);
        } else if path.is_dir() {
            links(&path, found);
        }
    }
}

/// Makes the product, carries it to another path and leaves nothing of the workdir.
fn carried(workdir: &Workdir) -> &'static str {
    workdir.make(&["--deep"]).success();
    fs::rename(workdir.path("W/product"), workdir.path("carried product")).unwrap();
    fs::remove_dir_all(workdir.path("W")).unwrap();
    let cache = "carried product/pkg-cache/uv-cache";
    let mut found = Vec::new();
    links(&workdir.path(cache), &mut found);
    assert!(found.len() >= 6, "{found:?}");
    for link in found {
        assert!(
            fs::read_link(&link).unwrap().is_relative(),
            "{}",
            link.display()
        );
        assert!(link.exists(), "{} dangles", link.display());
    }
    cache
}

#[test]
fn a_moved_and_pruned_cache_installs_without_a_network() {
    let workdir = Workdir::filled();
    workdir.lock("");
    let cache = carried(&workdir);
    // uv without a lock asks the index for versions, and its pages are pruned;
    // what is named by its address needs none, as everything does with a lock.
    let options = ["--offline", "--no-index"];
    workdir
        .uv(cache, "venv-offline", &options, &workdir.by_address())
        .success();
}

#[test]
fn a_moved_cache_for_a_project_that_is_built_has_all_that_uv_looks_up() {
    let workdir = Workdir::filled();
    workdir.lock("\n      - pypi: ./");
    let cache = carried(&workdir);
    let url = workdir.index.simple();
    let options = ["--offline", "--index-url", &url];
    workdir
        .uv(
            cache,
            "venv-offline",
            &options,
            &workdir.found_without_a_repository(),
        )
        .success();
}

#[test]
fn a_frozen_install_from_a_moved_cache_needs_no_repository_and_is_tied_by_sha256() {
    let workdir = Workdir::filled();
    // A project with a lock of uv's own: it installs as pixi does, from what is locked.
    let index = &workdir.index;
    let project = format!(
        "[project]\nname = \"locked\"\nversion = \"0.1\"\nrequires-python = \">=3.8\"\ndependencies = [\"plain-wheel\", \"old-sdist\", \"new-sdist\", \"direct-wheel\", \"direct-sdist\", \"from-git\"]\n[tool.uv]\npackage = false\n[[tool.uv.index]]\nurl = \"{}\"\ndefault = true\n[tool.uv.sources]\ndirect-wheel = {{ url = \"{}\" }}\ndirect-sdist = {{ url = \"{}\" }}\nfrom-git = {{ git = \"{}\", rev = \"{}\" }}\n",
        index.simple(),
        index.direct_wheel(),
        index.direct_sdist(),
        index.repository(),
        index.revision()
    );
    workdir.sandbox.write("locked/pyproject.toml", project);
    let uv = |cache: &str, args: &[&str]| {
        let mut command = workdir.sandbox.program(&workdir.uv);
        command
            .env("UV_CACHE_DIR", workdir.path(cache))
            .args(args)
            .args(["--project", "locked", "--no-managed-python"]);
        Run::of(&mut command)
    };
    let filled = "W/pixi-cache/uv-cache";
    fs::remove_dir_all(workdir.path(filled)).unwrap();
    uv(filled, &["lock"]).success();
    uv(filled, &["sync", "--frozen"]).success();
    workdir.lock("");
    let cache = carried(&workdir);
    assert!(!workdir.path(cache).join("git-v0").exists());
    assert!(!workdir.path(cache).join("simple-v21").exists());
    fs::remove_dir_all(workdir.path("locked/.venv")).unwrap();
    uv(cache, &["sync", "--frozen", "--offline"])
        .success()
        .says("from-git==1.0");
}

#[test]
fn removing_or_damaging_anything_of_uvs_is_found() {
    let workdir = Workdir::filled();
    workdir.lock("");
    workdir.make(&["--deep"]).success();
    let archives: Vec<PathBuf> = fs::read_dir(workdir.path("W/pixi-cache/uv-cache/archive-v0"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let of_needed = |archive: &Path| {
        fs::read_dir(archive).unwrap().any(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            words("plain_wheel old_sdist new_sdist direct_wheel direct_sdist from_git")
                .iter()
                .any(|needed| name.starts_with(needed) && name.ends_with(".dist-info"))
        })
    };
    let needed: Vec<&PathBuf> = archives
        .iter()
        .filter(|archive| of_needed(archive))
        .collect();
    assert_eq!(needed.len(), 6, "{needed:?}");
    for archive in needed {
        let aside = workdir.path("aside");
        fs::rename(archive, &aside).unwrap();
        workdir
            .make(&[])
            .code(1)
            .says("is not in the package cache");
        fs::rename(&aside, archive).unwrap();
        let mut files = Vec::new();
        listed(archive, &mut files);
        for file in files {
            let content = fs::read(&file).unwrap();
            let mut damaged = content.clone();
            match damaged.last_mut() {
                Some(last) => *last ^= 1,
                None => damaged.push(0),
            }
            fs::write(&file, damaged).unwrap();
            let run = workdir.make(&["--deep"]);
            assert_eq!(run.code, 1, "{} damaged: {run}", file.display());
            fs::write(&file, content).unwrap();
        }
    }
    workdir.make(&["--deep"]).success();
}

/// The files of an unpacked wheel that its RECORD has a hash of: all but itself,
/// and what uv adds when it builds.
fn listed(archive: &Path, files: &mut Vec<PathBuf>) {
    let metadata = fs::read_dir(archive)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ending| ending == "dist-info"))
        .unwrap();
    for line in fs::read_to_string(metadata.join("RECORD")).unwrap().lines() {
        let (name, rest) = line.split_once(',').unwrap();
        if rest.starts_with("sha256=") {
            files.push(archive.join(name));
        }
    }
}
