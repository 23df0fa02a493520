//! What activation sets in an environment whatever runs there, so that it can stand in
//! the image's configuration: programs that are started past the entry point (`docker
//! exec`, `--entrypoint`, `apptainer exec`) then find the environment, too.
//!
//! Known before anything is installed: what pixi sets, `[activation.env]` of the project,
//! and `etc/conda/env_vars.d/` of the packages. What scripts set is known to the entry
//! point alone.

use std::collections::BTreeMap;

use pixi_offline::layout;
use pixi_offline::request::{DEFAULT_ENVIRONMENT, EnvironmentName};
use toml_edit::{DocumentMut, InlineTable, Item, TableLike, Value};

use crate::request::AppDir;

/// Stands for the `PATH` of the base image in a value; no value can hold it.
pub const BASE_PATH: char = '\0';

/// A project in an image.
#[derive(Debug, Clone, Copy)]
pub struct ProjectInImage<'a> {
    /// Where the project is in the image.
    pub app: &'a AppDir,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The version of the pixi that activates.
    pub pixi: Option<&'a str>,
    /// The platform of the packages: `linux-64` for example.
    pub platform: &'a str,
    /// The name of the project's manifest.
    pub manifest: &'a str,
    /// Its text.
    pub text: &'a str,
    /// The texts of the packages' files with variables, each a JSON object, in the order
    /// in which they are read.
    pub of_packages: &'a [Vec<u8>],
}

impl ProjectInImage<'_> {
    /// The variables, each with its value. One whose value depends on something else than
    /// these is left out.
    pub fn variables(&self) -> Vec<(String, String)> {
        let prefix = self
            .app
            .join(&format!(".pixi/envs/{}", self.environment.as_str()));
        let document = self.text.parse::<DocumentMut>().unwrap_or_default();
        let is_python = self.manifest == layout::PROJECT_MANIFESTS[1];
        let pixi: &[&str] = if is_python { &["tool", "pixi"] } else { &[] };
        let pixi = table(document.as_item(), pixi);
        let mut known = Variables::default();
        known.set("PATH", format!("{prefix}/bin:{BASE_PATH}"));
        known.set("CONDA_PREFIX", prefix);
        known.set("PIXI_PROJECT_ROOT", self.app.as_str().to_owned());
        known.set("PIXI_PROJECT_MANIFEST", self.app.join(self.manifest));
        known.set(
            "PIXI_ENVIRONMENT_NAME",
            self.environment.as_str().to_owned(),
        );
        if !self.pixi.is_some_and(has_no_shell_mark) {
            known.set("PIXI_IN_SHELL", "1".to_owned());
        }
        if let Some(platforms) = self.platforms(pixi) {
            known.set("PIXI_ENVIRONMENT_PLATFORMS", platforms.join(","));
        }
        if let Some(name) = stated(document.as_item(), pixi, "name") {
            let is_default = self.environment.as_str() == DEFAULT_ENVIRONMENT;
            known.set("PIXI_PROJECT_NAME", name.clone());
            known.set(
                "CONDA_DEFAULT_ENV",
                match is_default {
                    true => name,
                    false => format!("{name}:{}", self.environment.as_str()),
                },
            );
            let version = stated(document.as_item(), pixi, "version");
            let version = version.unwrap_or_else(|| NO_VERSION.to_owned());
            known.set("PIXI_PROJECT_VERSION", version);
        }
        for text in self.of_packages {
            let variables: BTreeMap<String, String> =
                serde_json::from_slice(text).unwrap_or_default();
            for (name, value) in variables {
                known.evaluate(&name, &value);
            }
        }
        for (name, value) in self.of_project(pixi) {
            known.evaluate(&name, &value);
        }
        known.0
    }

    /// The names of the environment's platforms: those of the workspace that each feature
    /// is for. `None` when one has no name of its own, and pixi makes one up.
    fn platforms(&self, pixi: Option<&dyn TableLike>) -> Option<Vec<String>> {
        let name = |platform: &Value| {
            let own = |table: &InlineTable| Some(table.get("name")?.as_str()?.to_owned());
            match platform.as_str() {
                Some(name) => Some(name.to_owned()),
                None => platform.as_inline_table().and_then(own),
            }
        };
        let array = |table: &dyn TableLike| table.get("platforms")?.as_array().cloned();
        let pixi = pixi?;
        let workspace = pixi.get("workspace").or_else(|| pixi.get("project"))?;
        let all = array(workspace.as_table_like()?)?;
        let mut names: Vec<String> = all.iter().map(name).collect::<Option<_>>()?;
        for feature in self.features(pixi) {
            if let Some(own) = array(feature) {
                names.retain(|name| own.iter().any(|one| one.as_str() == Some(name)));
            }
        }
        // pixi has them in any order; the entry point sorts them, too.
        names.sort();
        Some(names)
    }

    /// The features that the environment names, those that win last.
    fn features<'a>(&self, pixi: &'a dyn TableLike) -> Vec<&'a dyn TableLike> {
        let environment = self.entry(pixi);
        let options = environment.and_then(Item::as_table_like);
        let features = options
            .and_then(|options| options.get("features"))
            .or(environment)
            .and_then(Item::as_array);
        let mut named: Vec<&dyn TableLike> = features
            .into_iter()
            .flatten()
            .filter_map(|feature| {
                let features = pixi.get("feature")?.as_table_like()?;
                features.get(feature.as_str()?)?.as_table_like()
            })
            .collect();
        // The first one named wins.
        named.reverse();
        named
    }

    /// What the manifest has under the environment's name.
    fn entry<'a>(&self, pixi: &'a dyn TableLike) -> Option<&'a Item> {
        let all = pixi.get("environments")?.as_table_like()?;
        all.get(self.environment.as_str())
    }

    /// `[activation.env]` of the environment's features, the stronger ones last.
    fn of_project(&self, pixi: Option<&dyn TableLike>) -> Vec<(String, String)> {
        let Some(pixi) = pixi else { return Vec::new() };
        let with_default = !self
            .entry(pixi)
            .and_then(Item::as_table_like)
            .and_then(|options| options.get("no-default-feature"))
            .and_then(Item::as_bool)
            .unwrap_or(false);
        // Any of them wins over the default one.
        let named = self.features(pixi);
        let all = with_default.then_some(pixi).into_iter().chain(named);
        let mut variables = Vec::new();
        for feature in all {
            let targets = feature.get("target").and_then(Item::as_table_like);
            let of_targets = ["unix", "linux", self.platform]
                .into_iter()
                .filter_map(|target| targets?.get(target)?.as_table_like());
            for part in std::iter::once(feature).chain(of_targets) {
                let env = part
                    .get("activation")
                    .and_then(|activation| activation.as_table_like()?.get("env"))
                    .and_then(Item::as_table_like);
                for (name, value) in env.into_iter().flat_map(TableLike::iter) {
                    if let Some(value) = value.as_str() {
                        variables.push((name.to_owned(), value.to_owned()));
                    }
                }
            }
        }
        variables
    }
}

fn table<'a>(item: &'a Item, path: &[&str]) -> Option<&'a dyn TableLike> {
    let mut item = item;
    for key in path {
        item = item.as_table_like()?.get(key)?;
    }
    item.as_table_like()
}

/// What pixi takes for the version of a project that states none.
const NO_VERSION: &str = "NO_VERSION_SPECIFIED";

/// The project's name or version, where its manifest has one.
fn stated(document: &Item, pixi: Option<&dyn TableLike>, key: &str) -> Option<String> {
    let stated = |table: &dyn TableLike| table.get(key)?.as_str().map(str::to_owned);
    let own = |part: &str| stated(pixi?.get(part)?.as_table_like()?);
    own("workspace")
        .or_else(|| own("project"))
        .or_else(|| stated(table(document, &["project"])?))
}

/// Variables whose values are known, in the order in which they were set first.
#[derive(Default)]
struct Variables(Vec<(String, String)>);

impl Variables {
    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Sets a variable to what a shell makes of the value in double quotes, as pixi writes
    /// it; one that cannot be known is none from here on.
    fn evaluate(&mut self, name: &str, value: &str) {
        let mut letters = name.chars();
        let is_name = letters
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name || name == "PIXI_EXE" || name == "PIXI_PROMPT" {
            return;
        }
        match self.expanded(value) {
            Some(value) => self.set(name, value),
            None => self.0.retain(|(known, _)| known != name),
        }
    }

    fn expanded(&self, value: &str) -> Option<String> {
        let mut text = String::new();
        let mut rest = value.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '\\' => match rest.peek() {
                    Some('$' | '`' | '"' | '\\') => text.extend(rest.next()),
                    _ => text.push('\\'),
                },
                '$' => {
                    let in_braces = rest.next_if_eq(&'{').is_some();
                    let mut name = String::new();
                    while let Some(c) = rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                        name.push(c);
                    }
                    if in_braces && rest.next() != Some('}') {
                        return None;
                    }
                    text.push_str(self.get(&name)?);
                }
                '`' => return None,
                // No Dockerfile has a word for it.
                c if c.is_control() => return None,
                c => text.push(c),
            }
        }
        Some(text)
    }
}

/// Whether the activation of this pixi leaves `PIXI_IN_SHELL` unset.
fn has_no_shell_mark(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(0)), Some(Ok(minor))) if minor <= 15)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn variables(manifest: &str, text: &str, environment: &str, of_packages: &[&str]) -> String {
        let app = AppDir::new("--app-dir", OsStr::new("/app")).unwrap();
        let environment = EnvironmentName::new(OsStr::new(environment)).unwrap();
        let of_packages: Vec<Vec<u8>> = of_packages
            .iter()
            .map(|text| text.as_bytes().to_vec())
            .collect();
        let activated = ProjectInImage {
            app: &app,
            environment: &environment,
            pixi: Some("0.77.0"),
            platform: "linux-64",
            manifest,
            text,
            of_packages: &of_packages,
        };
        let old = ProjectInImage {
            pixi: Some("0.15.2"),
            ..activated
        };
        assert!(
            old.variables()
                .iter()
                .all(|(name, _)| name != "PIXI_IN_SHELL")
        );
        let lines: Vec<String> = activated
            .variables()
            .into_iter()
            .map(|(name, value)| format!("{name}={}", value.replace(BASE_PATH, "<base>")))
            .collect();
        lines.join("\n")
    }

    #[test]
    fn what_pixi_sets_is_known_and_a_manifest_that_cannot_be_read_adds_nothing() {
        let usual = "PATH=/app/.pixi/envs/default/bin:<base>\nCONDA_PREFIX=/app/.pixi/envs/default\n\
                     PIXI_PROJECT_ROOT=/app\nPIXI_PROJECT_MANIFEST=/app/pixi.toml\nPIXI_ENVIRONMENT_NAME=default\nPIXI_IN_SHELL=1";
        assert_eq!(variables("pixi.toml", "no toml", "default", &[]), usual);
        assert_eq!(
            variables("pixi.toml", "[workspace]\nname = \"w\"\n", "default", &[]),
            format!(
                "{usual}\nPIXI_PROJECT_NAME=w\nCONDA_DEFAULT_ENV=w\nPIXI_PROJECT_VERSION=NO_VERSION_SPECIFIED"
            )
        );
        let python =
            "[project]\nname = \"p\"\nversion = \"3.1\"\n[tool.pixi.activation.env]\nA = \"1\"\n";
        let shown = variables("pyproject.toml", python, "prod", &[]);
        assert!(
            shown.ends_with(
                "PIXI_PROJECT_NAME=p\nCONDA_DEFAULT_ENV=p:prod\nPIXI_PROJECT_VERSION=3.1\nA=1"
            ),
            "{shown}"
        );
    }

    #[test]
    fn the_platforms_are_those_of_the_workspace_that_each_feature_is_for() {
        let text = r#"
[workspace]
name = "w"
platforms = ["linux-64", "osx-arm64", { name = "gpu", platform = "linux-64", cuda = "12" }]
[feature.one]
platforms = ["gpu", "linux-64", "win-64"]
[feature.two]
dependencies = {}
[environments]
short = ["two", "one"]
long = { features = ["one"], no-default-feature = true }
other = ["two"]
"#;
        for (environment, platforms) in [
            ("default", "gpu,linux-64,osx-arm64"),
            ("other", "gpu,linux-64,osx-arm64"),
            ("short", "gpu,linux-64"),
            ("long", "gpu,linux-64"),
        ] {
            let shown = variables("pixi.toml", text, environment, &[]);
            let line = format!("PIXI_ENVIRONMENT_PLATFORMS={platforms}\n");
            assert!(shown.contains(&line), "{environment}: {shown}");
        }
        let nameless = text.replace("name = \"gpu\", ", "");
        assert!(!variables("pixi.toml", &nameless, "default", &[]).contains("PLATFORMS"));
    }

    #[test]
    fn features_and_targets_override_in_pixis_order_and_only_what_is_static_counts() {
        let text = r#"
[environments]
prod = { features = ["one", "two"] }
bare = { features = ["two"], no-default-feature = true }
[activation.env]
A = "default"
B = "$CONDA_PREFIX/b:${PIXI_PROJECT_ROOT}/c"
C = "default"
PATH = "$PIXI_PROJECT_ROOT/tools:$PATH"
HOME_IS = "$HOME/x"
RUN = "$(id)"
OLD = "`id`"
ELSE = "${A:-x}"
QUOTED = "a \"b\" \\$c \\d"
"no name" = "x"
LINES = "a\nb"
[target.linux-64.activation.env]
A = "exact"
[target.linux.activation.env]
A = "linux"
[target.osx-64.activation.env]
A = "mac"
[feature.two.activation.env]
C = "two"
D = "two"
[feature.one.activation.env]
C = "one"
"#;
        let shown = variables(
            "pixi.toml",
            text,
            "prod",
            &[
                r#"{"PKG": "1", "GDAL": "$CONDA_PREFIX/share/gdal"}"#,
                "no json",
            ],
        );
        let own: Vec<&str> = shown.lines().skip(6).collect();
        assert_eq!(
            own,
            [
                "GDAL=/app/.pixi/envs/prod/share/gdal",
                "PKG=1",
                "A=exact",
                "B=/app/.pixi/envs/prod/b:/app/c",
                "C=one",
                r#"QUOTED=a "b" $c \d"#,
                "D=two",
            ]
        );
        assert!(
            shown.starts_with("PATH=/app/tools:/app/.pixi/envs/prod/bin:<base>\n"),
            "{shown}"
        );
        let bare = variables("pixi.toml", text, "bare", &[]);
        assert!(bare.ends_with("PIXI_IN_SHELL=1\nC=two\nD=two"), "{bare}");
    }
}
