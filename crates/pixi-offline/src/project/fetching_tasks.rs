//! The tasks of a project that fetch something when they run: an environment or packages
//! that no lock of the project names, and that no product carries.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use itertools::Itertools as _;
use serde::{Deserialize, Serialize};
use toml_edit::{Item, Value};

use crate::context::Context;
use crate::project::project_manifest::ProjectManifest;
use crate::regular_file;
use crate::request::Verification;

/// The longest script that is looked into, in bytes.
const LONGEST_SCRIPT: u64 = 1 << 20;

/// How many tasks one note names.
const NAMED: usize = 10;

/// The tasks of a manifest, by name: those of all features and targets as one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FetchingTasks(BTreeMap<String, TaskCalls>);

/// What a task does, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct TaskCalls {
    /// What it runs that fetches, such as `pixi exec`.
    fetching: BTreeSet<String>,
    /// The tasks that run before it.
    depends_on: BTreeSet<String>,
}

impl FetchingTasks {
    /// Finds them in the manifest of a project, and in the scripts of the project that they
    /// run.
    pub(crate) fn find(manifest: &ProjectManifest, project: &Path) -> FetchingTasks {
        let mut tasks = BTreeMap::<String, TaskCalls>::new();
        for (name, item) in manifest.tasks() {
            let calls = tasks.entry(name.to_owned()).or_default();
            calls.depends_on.extend(depends_on(item));
            let of_table = |key: &str| item.as_table_like()?.get(key);
            let command = of_table("cmd").unwrap_or(item);
            let cwd = of_table("cwd").and_then(Item::as_str).unwrap_or(".");
            for args in commands(command) {
                calls
                    .fetching
                    .extend(fetches(&args, Some(&project.join(cwd)), true));
            }
        }
        FetchingTasks(tasks)
    }

    /// Warns where the verification runs one of them, and names the others. `project` is
    /// where the project is on this machine.
    pub(crate) fn say(
        &self,
        verification: &Verification,
        project: Option<&Path>,
        context: &Context,
    ) {
        let (asked, mut fetching) = match verification {
            Verification::None => ("", BTreeSet::new()),
            Verification::Task(task) => (task.as_str(), BTreeSet::new()),
            Verification::Command(args) => (
                args.first().map_or("", String::as_str),
                fetches(args, project, true).into_iter().collect(),
            ),
        };
        let verified = self.closure(asked);
        for name in &verified {
            fetching.extend(self.0[*name].fetching.iter().cloned());
        }
        if !fetching.is_empty() {
            context.report.warning(format_args!(
                "the verification runs {}, which fetches what is not in pixi.lock: it passes in the build and fails offline, in the final verification and at the target; add what it fetches to the project's dependencies, or verify something else",
                fetching.iter().join(" and ")
            ));
        }
        let others: Vec<String> = self
            .0
            .iter()
            .filter(|(name, task)| !task.fetching.is_empty() && !verified.contains(name.as_str()))
            .map(|(name, task)| format!("{name} ({})", task.fetching.iter().format(", ")))
            .collect();
        if !others.is_empty() {
            let more = match others.len().saturating_sub(NAMED) {
                0 => String::new(),
                count => format!(" and {count} more"),
            };
            context.report.note(format_args!(
                "these tasks fetch what is not in pixi.lock, and fail at a target without a network: {}{more}",
                others[..others.len().min(NAMED)].join(", ")
            ));
        }
    }

    /// A task and those that run before it.
    fn closure(&self, name: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            if let Some((name, task)) = self.0.get_key_value(name)
                && found.insert(name.as_str())
            {
                open.extend(task.depends_on.iter().map(String::as_str));
            }
        }
        found
    }
}

/// The names of the tasks that run before one: texts and tables, in an array or alone.
fn depends_on(task: &Item) -> Vec<String> {
    let table = task.as_table_like();
    let listed =
        table.and_then(|table| table.get("depends-on").or_else(|| table.get("depends_on")));
    let listed = listed.or_else(|| task.is_array().then_some(task));
    let name = |value: &Value| {
        let of_table = || value.as_inline_table()?.get("task")?.as_str();
        value.as_str().or_else(of_table).map(str::to_owned)
    };
    match listed.and_then(Item::as_array) {
        Some(array) => array.iter().filter_map(name).collect(),
        None => listed
            .and_then(Item::as_value)
            .and_then(name)
            .into_iter()
            .collect(),
    }
}

/// The commands in the `cmd` of a task, each as its args.
fn commands(command: &Item) -> Vec<Vec<String>> {
    if let Some(text) = command.as_str() {
        return commands_of_text(text);
    }
    let args = command.as_array().into_iter().flatten();
    let args: Vec<String> = args
        .filter_map(|arg| Some(arg.as_str()?.to_owned()))
        .collect();
    vec![args]
}

/// The commands in a text for a shell, each as its args; none where its quotes are open.
fn commands_of_text(text: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    for line in text.lines() {
        for arg in shlex::split(line).unwrap_or_default() {
            let ends = matches!(arg.as_str(), "&&" | "||" | "|" | ";" | "&" | "(" | ")");
            let last = arg.trim_end_matches(';');
            if !ends && let Some(args) = commands.last_mut() {
                args.push(last.to_owned());
            }
            if ends || last.len() < arg.len() {
                commands.push(Vec::new());
            }
        }
        commands.push(Vec::new());
    }
    commands
}

/// What of a command fetches. `dir` is where it runs, where that can be looked into, and `into_scripts` is whether a shell script that it runs is
/// looked into.
fn fetches(args: &[String], dir: Option<&Path>, into_scripts: bool) -> Vec<String> {
    let is_setting = |arg: &&String| {
        let name = arg.split_once('=').map(|(name, _)| name);
        let plain = |name: &str| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        name.is_some_and(plain) || matches!(arg.as_str(), "env" | "time" | "exec" | "command")
    };
    let mut args = args.iter().skip_while(is_setting).map(String::as_str);
    let Some(first) = args.next() else {
        return Vec::new();
    };
    let rest: Vec<&str> = args.collect();
    let program = first.rsplit('/').next().unwrap_or(first);
    let has = |arg: &str| rest.contains(&arg);
    let action = rest
        .iter()
        .find(|arg| !arg.starts_with('-'))
        .copied()
        .unwrap_or_default();
    let found = match (program, action) {
        ("pixi", "exec" | "x" | "global") => Some(format!("pixi {action}")),
        ("pixi", "run") if has("--script") => Some("pixi run --script".to_owned()),
        ("python" | "python3", _) if rest.starts_with(&["-m", "pip"]) => pip(&rest[2..]),
        ("pip" | "pip3", _) => pip(&rest),
        ("uv", "pip") => pip(&rest[1..]).map(|pip| format!("uv {pip}")),
        ("uv", "run") if !has("--offline") => uv_run(&rest, dir),
        ("uv", "sync" | "add" | "tool") if !has("--offline") => Some(format!("uv {action}")),
        ("pipx", "run" | "install") => Some(format!("pipx {action}")),
        ("uvx" | "npx", _) => Some(program.to_owned()),
        _ => None,
    };
    if found.is_some() || !into_scripts {
        return found.into_iter().collect();
    }
    match program {
        "sh" | "bash" | "dash" | "zsh" => of_script(action, dir),
        _ if first.contains('/') => of_script(first, dir),
        _ => Vec::new(),
    }
}

/// `pip install`, unless it takes nothing from elsewhere.
fn pip(args: &[&str]) -> Option<String> {
    let has = |arg: &str| args.contains(&arg);
    let stays = has("--no-index") || has("--no-deps") && has("--no-build-isolation");
    let action = args.iter().find(|arg| !arg.starts_with('-'))?;
    (matches!(*action, "install" | "download") && !stays).then(|| format!("pip {action}"))
}

/// `uv run`, which makes an environment of the project's or of the script's own.
fn uv_run(args: &[&str], dir: Option<&Path>) -> Option<String> {
    let script = args.iter().find(|arg| has_own_dependencies(arg, dir));
    if let Some(script) = script {
        return Some(format!(
            "uv run {script} (a script with dependencies of its own, PEP 723)"
        ));
    }
    let stays = ["--no-project", "--no-sync", "--active"];
    let asks = ["--with", "--script", "-s"];
    let is_plain =
        args.iter().any(|arg| stays.contains(arg)) && !args.iter().any(|arg| asks.contains(arg));
    (!is_plain).then(|| "uv run".to_owned())
}

/// What of a script of the project fetches: by its first line, else by its commands where
/// it is a shell's.
fn of_script(path: &str, dir: Option<&Path>) -> Vec<String> {
    let Some(text) = read(path, dir) else {
        return Vec::new();
    };
    let first = text.lines().next().unwrap_or_default();
    let interpreter = first.strip_prefix("#!").unwrap_or_default();
    let args: Vec<String> = interpreter.split_whitespace().map(str::to_owned).collect();
    let has = |name: &str| args.iter().any(|arg| arg.rsplit('/').next() == Some(name));
    let begin = args
        .iter()
        .position(|arg| !arg.ends_with("/env") && !arg.starts_with('-'));
    let mut called = args[begin.unwrap_or(args.len())..].to_vec();
    if ["uv", "uvx", "pipx", "pixi"].iter().any(|name| has(name)) {
        called.push(path.to_owned());
        return fetches(&called, dir, false);
    }
    if !path.ends_with(".sh") && !["sh", "bash", "dash", "zsh"].iter().any(|name| has(name)) {
        return Vec::new();
    }
    let commands = commands_of_text(&text);
    let found: BTreeSet<String> = commands
        .iter()
        .flat_map(|args| fetches(args, dir, false))
        .map(|found| format!("{found} in {path}"))
        .collect();
    found.into_iter().collect()
}

/// Whether an argument names a script in the project that has a block of metadata with
/// dependencies (PEP 723).
fn has_own_dependencies(arg: &str, dir: Option<&Path>) -> bool {
    let Some(text) = read(arg, dir) else {
        return false;
    };
    let block = text
        .lines()
        .skip_while(|line| line.trim_end() != "# /// script");
    let mut lines = block
        .skip(1)
        .take_while(|line| line.starts_with('#') && line.trim_end() != "# ///");
    lines.any(|line| line.contains("dependencies") && line.contains('='))
}

/// A script of the project, by a path that stays in it.
fn read(path: &str, dir: Option<&Path>) -> Option<String> {
    let stays = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    let is_path = path.contains(['.', '/']) && Path::new(path).components().all(stays);
    let bytes = is_path.then(|| regular_file::read(&dir?.join(path), LONGEST_SCRIPT).ok())??;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::manifest_text::tests::write_files;

    const SCRIPT: &str =
        "# /// script\n# requires-python = '>=3.11'\n# dependencies = ['six']\n# ///\nimport six\n";

    fn tasks(manifest: &str, files: &[(&str, &str)]) -> FetchingTasks {
        let dir = tempfile::tempdir().unwrap();
        write_files(dir.path(), &[("pixi.toml", manifest)]);
        write_files(dir.path(), files);
        let manifest = ProjectManifest::require(dir.path()).unwrap();
        FetchingTasks::find(&manifest, dir.path())
    }

    fn fetched_by(command: &str, files: &[(&str, &str)]) -> String {
        let found = tasks(&format!("[tasks]\nt = {command}\n"), files);
        found.0["t"].fetching.iter().join(", ")
    }

    #[test]
    fn what_a_command_fetches_is_told_from_what_it_does_not() {
        let script = [
            ("a.py", SCRIPT),
            ("tools/run.sh", "set -e\nmake\nX=1 pixi exec ruff check;\n"),
        ];
        for (command, wanted) in [
            ("'pixi exec ruff check'", "pixi exec"),
            (
                "'A=1 make && env B=2 pixi x --spec ruff ruff; echo'",
                "pixi x",
            ),
            ("['pixi', 'exec', 'ruff']", "pixi exec"),
            (
                "{ cmd = 'pixi run --script a.py', cwd = '.' }",
                "pixi run --script",
            ),
            (
                "'uv run a.py'",
                "uv run a.py (a script with dependencies of its own, PEP 723)",
            ),
            (
                "{ cmd = 'uv run --no-project a.py' }",
                "uv run a.py (a script with dependencies of its own, PEP 723)",
            ),
            ("'uvx ruff'", "uvx"),
            ("'pipx run cowsay'", "pipx run"),
            ("'pip install -e .'", "pip install"),
            ("'python -m pip install six'", "pip install"),
            ("'uv pip install six'", "uv pip install"),
            ("'bash -e tools/run.sh'", "pixi exec in tools/run.sh"),
            ("'./tools/run.sh'", "pixi exec in ./tools/run.sh"),
        ] {
            assert_eq!(fetched_by(command, &script), wanted, "{command}");
        }
        let shebang = format!("#!/usr/bin/env -S uv run --script\n{SCRIPT}");
        let found = fetched_by("'./a.py --now'", &[("a.py", &shebang)]);
        assert_eq!(
            found,
            "uv run ./a.py (a script with dependencies of its own, PEP 723)"
        );
        for stays in [
            "'python a.py'",
            "'pixi run build'",
            "'echo pixi exec'",
            "'pip list'",
            "'pip install --no-deps --no-build-isolation -e .'",
            "'pip install --no-index --find-links w six'",
            "'uv run --no-project python -c 1'",
            "'uv run --offline a.py'",
            "'open \"quote'",
            "'../out.sh'",
            "{ depends-on = [] }",
        ] {
            assert_eq!(fetched_by(stays, &script), "", "{stays}");
        }
    }

    #[test]
    fn tasks_of_features_and_targets_and_those_that_run_before_are_known() {
        let found = tasks(
            "[tasks]\nall = [{ task = 'lint' }]\nsmoke = { cmd = 'true', depends-on = ['all', 'all'] }\nold = { depends_on = 'lint' }\n\
             [feature.a.tasks]\nlint = 'pixi exec ruff'\n\
             [feature.a.target.linux-64.tasks]\ndeep = 'uvx x'\n[target.unix.tasks]\nlint = { cmd = 'uvx y', depends-on = ['smoke'] }\n",
            &[],
        );
        for name in ["all", "smoke", "old"] {
            assert!(found.closure(name).contains("lint"), "{name}");
        }
        assert_eq!(found.0["lint"].fetching.len(), 2);
        assert_eq!(found.0["deep"].fetching.len(), 1);
        assert!(found.closure("nope").is_empty());
    }
}
