//! A project that is being put together.

use std::fs;
use std::path::Path;

use semver::Version;
use testbed::PYTHON_VERSION_SPEC;
use testbed::images::PixiImage;

use crate::kinds::parts::Parts;

/// What a kind's project has beyond what all have.
#[derive(Default)]
pub struct Draft {
    /// A channel in the project, before the usual one.
    pub own_channel: Option<&'static str>,
    /// Lines of `[workspace]`.
    pub workspace: &'static str,
    /// Packages of the channels, beside python.
    pub conda: Vec<&'static str>,
    /// Lines of `[dependencies]` for packages that pixi builds from source.
    pub sources: Vec<String>,
    /// Tables at the end of the manifest.
    pub more: String,
    /// Lines of `[pypi-dependencies]`.
    pub python: Vec<String>,
    /// A directory of the project that `find-links` names.
    pub find_links: Option<&'static str>,
    /// More arguments for create-workdir-from-host.
    pub create: Vec<&'static str>,
    /// Whether the directory around the project is staged with it.
    pub in_root: bool,
    /// Whether it names what is there by absolute paths.
    pub is_absolute: bool,
    /// Where the project was when it was locked, if not where it is.
    pub locked_at: Option<&'static str>,
    /// Python statements that fail unless the package is there.
    pub proof: String,
}

/// Begins every `prove.py`.
const PROOF_BEGINS: &str = "import importlib, importlib.metadata, os, subprocess, sys, time\n";

/// What `prove.py` prints when all holds.
pub const PROVED: &str = "the package is there";

/// Ends every `prove.py`: what the clock says, and whether that is pixi's clock too.
const PROOF_ENDS: &str = r#"
with open(f"/proc/{os.getppid()}/maps") as file:
    maps = file.read()
assert "pixi" in os.readlink(f"/proc/{os.getppid()}/exe")
static = "/ld-linux" not in maps and "/ld-musl" not in maps
print("the package is there")
print("clock:", int(time.time()))
print("faketime in pixi:", "loaded" if "libfaketime" in maps else "static" if static else "absent")
"#;

impl Draft {
    /// A project that needs this line of `[pypi-dependencies]`, which brings `package`.
    pub fn python(line: impl Into<String>, package: &str, place: Installed) -> Draft {
        Draft {
            python: vec![line.into()],
            proof: proof_of(package, place),
            ..Draft::default()
        }
    }

    /// Writes `pixi.toml`, as this pixi likes it, and `prove.py`.
    pub fn write(&self, dir: &Path, image: &PixiImage, parts: &Parts) {
        let manifest = self.manifest(&image.version, parts);
        fs::write(dir.join("pixi.toml"), manifest).unwrap();
        let proof = format!("{PROOF_BEGINS}{}{PROOF_ENDS}", self.proof);
        fs::write(dir.join("prove.py"), proof).unwrap();
    }

    fn manifest(&self, pixi: &Version, parts: &Parts) -> String {
        let channels: Vec<&str> = self
            .own_channel
            .into_iter()
            .chain([parts.channel.url.as_str()])
            .collect();
        // 0.15 knows no other name for the table, and neither of the settings.
        let young = *pixi >= Version::new(0, 74, 0);
        let mut text = format!(
            "[{}]\nname = \"demo\"\nversion = \"1.0.0\"\nchannels = {channels:?}\nplatforms = [{:?}]\n",
            if young { "workspace" } else { "project" },
            parts.channel.subdir,
        );
        if self.builds_conda_packages() {
            text.push_str("preview = [\"pixi-build\"]\n");
        }
        text.push_str(self.workspace);
        if young && !self.python.is_empty() {
            // Else pixi asks a server which conda package is which Python package.
            text.push_str("conda-pypi-map = false\n");
            text.push_str(&format!(
                "\n[pypi-options]\nindex-url = {:?}\n",
                parts.index.simple()
            ));
            if let Some(dir) = self.find_links {
                text.push_str(&format!("find-links = [{{ path = {dir:?} }}]\n"));
            }
        }
        text.push_str(&format!(
            "\n[dependencies]\npython = {PYTHON_VERSION_SPEC:?}\n"
        ));
        for package in &self.conda {
            text.push_str(&format!("{package} = \"*\"\n"));
        }
        for line in &self.sources {
            text.push_str(&format!("{line}\n"));
        }
        if !self.python.is_empty() {
            text.push_str("\n[pypi-dependencies]\n");
            text.push_str(&self.python.join("\n"));
            text.push('\n');
        }
        text.push_str(&self.more);
        text
    }

    /// Whether the product has another lock: a `dev` dependency is not built.
    pub fn changes_lock(&self) -> bool {
        self.is_absolute || !self.sources.is_empty()
    }

    /// Whether pixi builds packages of it from source.
    pub fn builds_conda_packages(&self) -> bool {
        !self.sources.is_empty() || !self.more.is_empty()
    }
}

/// Where a Python package must be imported from.
#[derive(Clone, Copy)]
pub enum Installed {
    /// From the environment.
    InEnvironment,
    /// From the project: it is editable.
    InProject,
    /// From a directory beside the project: it is editable.
    Beside,
}

fn proof_of(package: &str, place: Installed) -> String {
    let module = package.replace('-', "_");
    let where_it_is = match place {
        Installed::InEnvironment => "module.__file__.startswith(sys.prefix)",
        // The environment is in the project, too.
        Installed::Beside => {
            "os.path.realpath(module.__file__).startswith(os.path.realpath(\"../../libs\"))"
        }
        Installed::InProject => {
            "module.__file__.startswith(os.getcwd()) and not module.__file__.startswith(sys.prefix)"
        }
    };
    format!(
        "module = importlib.import_module(\"{module}\")\n\
         assert module.VERSION == \"1.0\", module.VERSION\n\
         assert importlib.metadata.version(\"{package}\") == \"1.0\"\n\
         assert {where_it_is}, module.__file__\n"
    )
}
