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

pub const KINDS: [Kind; 41] = [
    Kind {
        name: "conda",
        needs_backends: false,
        draft: |_, _| Draft {
            conda: vec!["prefix-tool", "many-files"],
            proof: "said = subprocess.run([\"prefix-tool\"], check=True, capture_output=True)\n\
                    assert sys.prefix.encode() in said.stdout, said\n\
                    assert os.path.exists(sys.prefix + \"/share/many-files\")\n"
                .to_owned(),
            ..Draft::default()
        },
    },
    Kind {
        name: "wheel",
        needs_backends: false,
        draft: |_, _| Draft::python("plain-wheel = \"*\"", "plain-wheel", InEnvironment),
    },
    Kind {
        name: "sdist-setuptools",
        needs_backends: false,
        draft: |_, _| Draft::python("old-sdist = \"*\"", "old-sdist", InEnvironment),
    },
    Kind {
        name: "sdist-hatchling",
        needs_backends: false,
        draft: |_, _| Draft::python("new-sdist = \"*\"", "new-sdist", InEnvironment),
    },
    Kind {
        name: "wheel-zeros",
        needs_backends: false,
        draft: |_, _| with_version("dated-wheel", DATES[0]),
    },
    Kind {
        name: "wheel-local-version",
        needs_backends: false,
        draft: |_, _| with_version("local-wheel", &format!("{VERSION}{LOCAL_VERSION}")),
    },
    Kind {
        name: "sdist-local-version",
        needs_backends: false,
        draft: |_, _| with_version("local-sdist", &format!("{VERSION}{LOCAL_VERSION}")),
    },
    Kind {
        name: "url-wheel",
        needs_backends: false,
        draft: |parts, _| {
            let url = parts.index.direct_wheel();
            let line = format!("direct-wheel = {{ url = {url:?} }}");
            Draft::python(line, "direct-wheel", InEnvironment)
        },
    },
    Kind {
        name: "url-sdist",
        needs_backends: false,
        draft: |parts, _| {
            let url = parts.index.direct_sdist();
            let line = format!("direct-sdist = {{ url = {url:?} }}");
            Draft::python(line, "direct-sdist", InEnvironment)
        },
    },
    Kind {
        name: "git",
        needs_backends: false,
        draft: |parts, _| {
            let (url, revision) = (parts.index.repository(), parts.index.revision());
            let line = format!("from-git = {{ git = {url:?}, rev = {revision:?} }}");
            Draft::python(line, "from-git", InEnvironment)
        },
    },
    Kind {
        name: "project-wheel",
        needs_backends: false,
        draft: |_, dir| {
            let file = put_wheel("project-wheel", &dir.join("wheels"));
            let line = format!("project-wheel = {{ path = \"./wheels/{file}\" }}");
            Draft::python(line, "project-wheel", InEnvironment)
        },
    },
    Kind {
        name: "self-hatchling",
        needs_backends: false,
        draft: |_, dir| editable_self(Backend::Hatchling, dir),
    },
    Kind {
        name: "self-setuptools",
        needs_backends: false,
        draft: |_, dir| editable_self(Backend::Setuptools, dir),
    },
    Kind {
        name: "dir-hatchling",
        needs_backends: false,
        draft: |_, dir| {
            put_library(Backend::Hatchling, dir);
            Draft::python("library = { path = \"./lib\" }", "library", InEnvironment)
        },
    },
    Kind {
        name: "dir-setuptools",
        needs_backends: false,
        draft: |_, dir| {
            put_library(Backend::Setuptools, dir);
            Draft::python("library = { path = \"./lib\" }", "library", InEnvironment)
        },
    },
    Kind {
        name: "dir-editable",
        needs_backends: false,
        draft: |_, dir| {
            put_library(Backend::Hatchling, dir);
            let line = "library = { path = \"./lib\", editable = true }";
            Draft::python(line, "library", InProject)
        },
    },
    Kind {
        name: "self-setuptools-scm",
        needs_backends: false,
        draft: |_, dir| {
            let draft = editable_self(Backend::SetuptoolsScm, dir);
            commit_with_tag(dir, "v1.0").unwrap();
            draft
        },
    },
    Kind {
        name: "dir-hatch-vcs",
        needs_backends: false,
        draft: |_, dir| {
            put_library(Backend::HatchVcs, dir);
            commit_with_tag(dir, "v1.0").unwrap();
            Draft::python("library = { path = \"./lib\" }", "library", InEnvironment)
        },
    },
    Kind {
        name: "project-channel",
        needs_backends: false,
        draft: own_channel,
    },
    Kind {
        name: "project-channel-moved",
        needs_backends: false,
        draft: |parts, dir| Draft {
            locked_at: Some("/home/somebody/else"),
            ..own_channel(parts, dir)
        },
    },
    Kind {
        name: "tar-bz2",
        needs_backends: false,
        draft: |parts, dir| {
            put_channel(parts, &dir.join("chan"), Put::TarBz2);
            Draft {
                conda: vec!["flavour", "prefix-tool"],
                ..own_flavour()
            }
        },
    },
    Kind {
        name: "two-channels",
        needs_backends: false,
        draft: |parts, dir| {
            put_channel(parts, &dir.join("chan"), Put::Another);
            own_flavour()
        },
    },
    Kind {
        name: "exclude-newer",
        needs_backends: false,
        draft: |_, _| Draft {
            workspace: "exclude-newer = \"1d\"\n",
            conda: vec!["prefix-tool"],
            proof: "subprocess.run([\"prefix-tool\"], check=True)\n".to_owned(),
            ..Draft::default()
        },
    },
    Kind {
        name: "project-find-links",
        needs_backends: false,
        draft: |_, dir| {
            put_wheel("linked-wheel", &dir.join("links"));
            let line = "linked-wheel = \"*\"";
            Draft {
                find_links: Some("./links"),
                ..Draft::python(line, "linked-wheel", InEnvironment)
            }
        },
    },
    Kind {
        name: "source-chain",
        needs_backends: true,
        draft: sources::chain,
    },
    Kind {
        name: "source-self",
        needs_backends: true,
        draft: sources::itself,
    },
    Kind {
        name: "source-git",
        needs_backends: true,
        draft: sources::git,
    },
    Kind {
        name: "source-url",
        needs_backends: true,
        draft: sources::url,
    },
    Kind {
        name: "source-outputs",
        needs_backends: true,
        draft: sources::outputs,
    },
    Kind {
        name: "source-variants",
        needs_backends: true,
        draft: sources::variants,
    },
    Kind {
        name: "source-two-variants",
        needs_backends: true,
        draft: sources::variants_of_environments,
    },
    Kind {
        name: "source-environments",
        needs_backends: true,
        draft: sources::environments,
    },
    Kind {
        name: "source-dev",
        needs_backends: true,
        draft: sources::dev,
    },
    Kind {
        name: "root-channel",
        needs_backends: false,
        draft: |parts, dir| {
            let around = dir.ancestors().nth(2).unwrap();
            Draft {
                own_channel: Some("../../chan"),
                in_root: true,
                ..own_channel(parts, around)
            }
        },
    },
    Kind {
        name: "root-editable",
        needs_backends: false,
        draft: |_, dir| library_beside(dir, Beside),
    },
    Kind {
        name: "root-setuptools",
        needs_backends: false,
        draft: |_, dir| library_beside(dir, InEnvironment),
    },
    Kind {
        name: "root-wheel",
        needs_backends: false,
        draft: |_, dir| wheel_beside(dir),
    },
    Kind {
        name: "root-source",
        needs_backends: true,
        draft: sources::chain_beside,
    },
    Kind {
        name: "root-source-recipe",
        needs_backends: true,
        draft: sources::recipe_beside,
    },
    Kind {
        name: "root-source-absolute",
        needs_backends: true,
        draft: sources::chain_absolute,
    },
    Kind {
        name: "root-absolute",
        needs_backends: false,
        draft: |_, dir| all_absolute(dir),
    },
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
