//! The kinds, each as the project that has it.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use testbed::as_tar_bz2;
use testbed::python::{Backend, DATES, LOCAL_VERSION, Source, VERSION, commit_with_tag, wheel};

use crate::kinds::draft::{Draft, Installed};
use crate::kinds::parts::Parts;
use crate::kinds::sources;
use zip::write::ZipWriter;

/// A kind of dependency.
pub struct Kind {
    /// Its name in the table.
    pub name: &'static str,
    /// Puts what it needs beyond a manifest into the project's directory.
    pub draft: fn(&Parts, &Path) -> Draft,
    /// Whether pixi builds packages of it from source.
    pub needs_backends: bool,
}

use Installed::{Beside, InEnvironment, InProject};

/// A kind of which pixi builds nothing from source.
const fn plain(name: &'static str, draft: fn(&Parts, &Path) -> Draft) -> Kind {
    Kind {
        name,
        draft,
        needs_backends: false,
    }
}

const fn from_source(name: &'static str, draft: fn(&Parts, &Path) -> Draft) -> Kind {
    Kind {
        needs_backends: true,
        ..plain(name, draft)
    }
}

pub const KINDS: [Kind; 41] = [
    plain("conda", |_, _| Draft {
        conda: vec!["prefix-tool", "many-files"],
        proof: "said = subprocess.run([\"prefix-tool\"], check=True, capture_output=True)\n\
                    assert sys.prefix.encode() in said.stdout, said\n\
                    assert os.path.exists(sys.prefix + \"/share/many-files\")\n"
            .to_owned(),
        ..Draft::default()
    }),
    plain("wheel", |_, _| {
        Draft::python("plain-wheel = \"*\"", "plain-wheel", InEnvironment)
    }),
    plain("sdist-setuptools", |_, _| {
        Draft::python("old-sdist = \"*\"", "old-sdist", InEnvironment)
    }),
    plain("sdist-hatchling", |_, _| {
        Draft::python("new-sdist = \"*\"", "new-sdist", InEnvironment)
    }),
    plain("wheel-zeros", |_, _| with_version("dated-wheel", DATES[0])),
    plain("wheel-local-version", |_, _| {
        with_version("local-wheel", &format!("{VERSION}{LOCAL_VERSION}"))
    }),
    plain("sdist-local-version", |_, _| {
        with_version("local-sdist", &format!("{VERSION}{LOCAL_VERSION}"))
    }),
    plain("url-wheel", |parts, _| {
        let url = parts.index.direct_wheel();
        let line = format!("direct-wheel = {{ url = {url:?} }}");
        Draft::python(line, "direct-wheel", InEnvironment)
    }),
    plain("url-sdist", |parts, _| {
        let url = parts.index.direct_sdist();
        let line = format!("direct-sdist = {{ url = {url:?} }}");
        Draft::python(line, "direct-sdist", InEnvironment)
    }),
    plain("git", |parts, _| {
        let (url, revision) = (parts.index.repository(), parts.index.revision());
        let line = format!("from-git = {{ git = {url:?}, rev = {revision:?} }}");
        Draft::python(line, "from-git", InEnvironment)
    }),
    plain("project-wheel", |_, dir| {
        let file = put_wheel("project-wheel", &dir.join("wheels"));
        let line = format!("project-wheel = {{ path = \"./wheels/{file}\" }}");
        Draft::python(line, "project-wheel", InEnvironment)
    }),
    plain("self-hatchling", |_, dir| {
        editable_self(Backend::Hatchling, dir)
    }),
    plain("self-setuptools", |_, dir| {
        editable_self(Backend::Setuptools, dir)
    }),
    plain("dir-hatchling", |_, dir| {
        put_library(Backend::Hatchling, dir);
        Draft::python("library = { path = \"./lib\" }", "library", InEnvironment)
    }),
    plain("dir-setuptools", |_, dir| {
        put_library(Backend::Setuptools, dir);
        Draft::python("library = { path = \"./lib\" }", "library", InEnvironment)
    }),
    plain("dir-editable", |_, dir| {
        put_library(Backend::Hatchling, dir);
        let line = "library = { path = \"./lib\", editable = true }";
        Draft::python(line, "library", InProject)
    }),
    plain("self-setuptools-scm", |_, dir| {
        let draft = editable_self(Backend::SetuptoolsScm, dir);
        commit_with_tag(dir, "v1.0").unwrap();
        draft
    }),
    plain("dir-hatch-vcs", |_, dir| {
        put_library(Backend::HatchVcs, dir);
        commit_with_tag(dir, "v1.0").unwrap();
        Draft::python("library = { path = \"./lib\" }", "library", InEnvironment)
    }),
    plain("project-channel", own_channel),
    plain("project-channel-moved", |parts, dir| Draft {
        locked_at: Some("/home/somebody/else"),
        ..own_channel(parts, dir)
    }),
    plain("tar-bz2", |parts, dir| {
        put_channel(parts, &dir.join("chan"), Put::TarBz2);
        Draft {
            conda: vec!["flavour", "prefix-tool"],
            ..own_flavour()
        }
    }),
    plain("two-channels", |parts, dir| {
        put_channel(parts, &dir.join("chan"), Put::Another);
        own_flavour()
    }),
    plain("exclude-newer", |_, _| Draft {
        workspace: "exclude-newer = \"1d\"\n",
        conda: vec!["prefix-tool"],
        proof: "subprocess.run([\"prefix-tool\"], check=True)\n".to_owned(),
        ..Draft::default()
    }),
    plain("project-find-links", |_, dir| {
        put_wheel("linked-wheel", &dir.join("links"));
        let line = "linked-wheel = \"*\"";
        Draft {
            find_links: Some("./links"),
            ..Draft::python(line, "linked-wheel", InEnvironment)
        }
    }),
    from_source("source-chain", sources::chain),
    from_source("source-self", sources::itself),
    from_source("source-git", sources::git),
    from_source("source-url", sources::url),
    from_source("source-outputs", sources::outputs),
    from_source("source-variants", sources::variants),
    from_source("source-two-variants", sources::variants_of_environments),
    from_source("source-environments", sources::environments),
    from_source("source-dev", sources::dev),
    plain("root-channel", |parts, dir| {
        let around = dir.ancestors().nth(2).unwrap();
        Draft {
            own_channel: Some("../../chan"),
            in_root: true,
            ..own_channel(parts, around)
        }
    }),
    plain("root-editable", |_, dir| library_beside(dir, Beside)),
    plain("root-setuptools", |_, dir| {
        library_beside(dir, InEnvironment)
    }),
    plain("root-wheel", |_, dir| wheel_beside(dir)),
    from_source("root-source", sources::chain_beside),
    from_source("root-source-recipe", sources::recipe_beside),
    from_source("root-source-absolute", sources::chain_absolute),
    plain("root-absolute", |_, dir| all_absolute(dir)),
];

/// A library and a wheel beside the project by their absolute paths.
fn all_absolute(dir: &Path) -> Draft {
    let root = dir.ancestors().nth(2).unwrap();
    let library = library_beside(dir, Beside);
    let wheel = wheel_beside(dir);
    let root = root.display();
    Draft {
        python: vec![
            library.python[0].replace("../..", &root.to_string()),
            wheel.python[0].replace("../..", &root.to_string()),
        ],
        proof: library.proof + &wheel.proof,
        is_absolute: true,
        in_root: true,
        ..Draft::default()
    }
}

/// A library in a directory beside that of the projects: editable, or one that is built.
pub fn library_beside(dir: &Path, place: Installed) -> Draft {
    let library = dir.ancestors().nth(2).unwrap().join("libs/library");
    fs::create_dir_all(&library).unwrap();
    let (backend, how) = match place {
        Beside => (Backend::Hatchling, ", editable = true"),
        _ => (Backend::Setuptools, ""),
    };
    let source = Source::new("library", VERSION, backend);
    source.write(&library).unwrap();
    let line = format!("library = {{ path = \"../../libs/library\"{how} }}");
    Draft {
        in_root: true,
        ..Draft::python(line, "library", place)
    }
}

/// A wheel in a directory beside that of the projects.
pub fn wheel_beside(dir: &Path) -> Draft {
    let vendor = dir.ancestors().nth(2).unwrap().join("vendor");
    let file = put_wheel("vendored-wheel", &vendor);
    let line = format!("vendored-wheel = {{ path = \"../../vendor/{file}\" }}");
    Draft {
        in_root: true,
        ..Draft::python(line, "vendored-wheel", InEnvironment)
    }
}

fn put_wheel(package: &str, dir: &Path) -> String {
    let (name, bytes) = wheel(package, VERSION).unwrap();
    fs::create_dir(dir).unwrap();
    fs::write(dir.join(&name), bytes).unwrap();
    name
}

fn editable_self(backend: Backend, dir: &Path) -> Draft {
    Source::new("whole-project", VERSION, backend)
        .write(dir)
        .unwrap();
    let line = "whole-project = { path = \".\", editable = true }";
    Draft::python(line, "whole-project", InProject)
}

fn put_library(backend: Backend, dir: &Path) {
    Source::new("library", VERSION, backend)
        .write(&dir.join("lib"))
        .unwrap();
}

/// A package of the index of which the environment has this version.
fn with_version(package: &str, version: &str) -> Draft {
    let module = package.replace('-', "_");
    Draft {
        python: vec![format!("{package} = \"*\"")],
        proof: format!(
            "importlib.import_module(\"{module}\")\n\
             assert importlib.metadata.version(\"{package}\") == \"{version}\"\n"
        ),
        ..Draft::default()
    }
}

/// The channel in the project has the older of two packages of the usual one.
fn own_channel(parts: &Parts, dir: &Path) -> Draft {
    put_channel(parts, &dir.join("chan"), Put::Same);
    own_flavour()
}

fn own_flavour() -> Draft {
    Draft {
        own_channel: Some("./chan"),
        conda: vec!["flavour"],
        proof: "said = subprocess.run([\"flavour\"], check=True, capture_output=True)\n\
                assert said.stdout == b\"flavour 1.0\\n\", said\n"
            .to_owned(),
        ..Draft::default()
    }
}

/// How the package of the channel in a project differs from the one of the usual channel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Put {
    Same,
    /// Another archive of the same name.
    Another,
    /// In the format before `.conda`.
    TarBz2,
}

impl Put {
    /// In which list of a channel the package is, the name of its file, and the file.
    fn file(self, conda: &Path) -> (&'static str, String, Vec<u8>) {
        let name = conda.file_name().unwrap().to_str().unwrap().to_owned();
        let mut bytes = fs::read(conda).unwrap();
        match self {
            Put::Same => {}
            Put::Another => {
                let mut zip = ZipWriter::new_append(Cursor::new(bytes)).unwrap();
                zip.set_comment("another one").unwrap();
                bytes = zip.finish().unwrap().into_inner();
            }
            Put::TarBz2 => {
                let bytes = as_tar_bz2(conda).unwrap();
                return ("packages", name.replace(".conda", ".tar.bz2"), bytes);
            }
        }
        ("packages.conda", name, bytes)
    }
}

fn put_channel(parts: &Parts, dir: &Path, put: Put) {
    let package = "flavour-1.0-0.conda";
    let theirs = parts.channel.dir.join("noarch");
    let read = fs::read(theirs.join("repodata.json")).unwrap();
    let repodata: Value = serde_json::from_slice(&read).unwrap();
    for subdir in [parts.channel.subdir, "noarch"] {
        let own = dir.join(subdir);
        fs::create_dir_all(&own).unwrap();
        let mut listed = json!({
            "info": {"subdir": subdir},
            "packages": {},
            "packages.conda": {},
            "repodata_version": 1,
        });
        if subdir == "noarch" {
            let (list, name, bytes) = put.file(&theirs.join(package));
            let mut record = repodata["packages.conda"][package].clone();
            record["sha256"] = json!(data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes)));
            record["size"] = json!(bytes.len());
            record.as_object_mut().unwrap().remove("md5");
            listed[list][&name] = record;
            fs::write(own.join(name), bytes).unwrap();
        }
        fs::write(own.join("repodata.json"), listed.to_string()).unwrap();
    }
}
