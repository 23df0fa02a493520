//! A container, as data, and the one place where the command lines of the engine's `run`,
//! `create` and `exec` are put together.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::container::Mount;
use crate::container::masking::Masking;
use crate::container::owner;
use crate::container::scripts::Script;
use crate::request::{ContainerPlatform, ContainerVariable, ImageReference};
use crate::text_values;
use crate::tools::os_strings;

text_values!(ContainerName);

/// The program that counts in a second container attempts to reach a network.
#[derive(Debug, Clone)]
pub struct Counting {
    /// This program, which is static.
    pub program: PathBuf,
    /// The arguments that have it call [`super::serve_counters`].
    pub args: Vec<String>,
}

/// A container's name: unique for the run, so that it can be removed by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerName(String);

impl ContainerName {
    /// A name for a container of `command`, made unique by `nonce`.
    pub fn new(command: &str, nonce: &str) -> ContainerName {
        ContainerName(format!("{command}-{}", nonce.get(..12).unwrap_or(nonce)))
    }
}

/// What the container can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The engine's default.
    Default,
    /// Nothing but itself.
    None,
}

/// What the engine does about an image that it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// Fetch it.
    Missing,
    /// Fail: an offline verification must not reach for the network.
    Never,
}

/// A file system in memory inside the container, programs in it executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// Where it is mounted.
    pub target: String,
    /// How much it may hold, in bytes.
    pub size: u64,
}

/// All that a run of a container depends on.
#[derive(Debug, Clone)]
pub struct ContainerSpec {
    /// Its name.
    pub name: ContainerName,
    /// The command that it runs for; the label's value.
    pub command: &'static str,
    /// Its image.
    pub image: ImageReference,
    /// What the image shall be for; the engine's choice when `None`.
    pub platform: Option<ContainerPlatform>,
    /// Directories of the host in it.
    pub mounts: Vec<Mount>,
    /// A file system in memory in it.
    pub tmpfs: Option<Tmpfs>,
    /// Its network.
    pub network: Network,
    /// Whether the image may be fetched.
    pub pull: Pull,
    /// Variables that the caller wants in it.
    pub variables: Vec<ContainerVariable>,
    /// Variables of this process that it gets with their values.
    pub passed_variables: Vec<String>,
    /// Arguments for the engine that hand GPUs to it.
    pub gpus: Vec<OsString>,
    /// Arguments that the caller wants handed to the engine as they are.
    pub engine_arguments: Vec<OsString>,
    /// SELinux separates containers from the host's files; relabelling people's
    /// directories would outlast the run, so the separation is turned off instead.
    pub selinux_enforcing: bool,
    /// What counts attempts to reach a network from outside of it, if anything.
    pub counting: Option<Counting>,
    /// What must not be in its output.
    pub masking: Masking,
    /// What runs in it.
    pub script: Script,
}

impl ContainerSpec {
    /// The arguments after the engine's name.
    pub fn run_arguments(&self) -> anyhow::Result<Vec<OsString>> {
        let mut args = os_strings(&["run", "--interactive", "--name", self.name.as_str()]);
        owner::push_labels(&mut args, self.command);
        let mut push = |arg: &str, value: &str| args.extend([arg.into(), value.into()]);
        // The output is attached and logged by us; a second copy in the
        // daemon's own log would only fill its disk.
        push("--log-driver", "none");
        // Through a mount, a device would be one of this machine, for all its users.
        push("--cap-drop", "MKNOD");
        if self.network == Network::None {
            push("--network", "none");
        }
        if let Some(platform) = &self.platform {
            push("--platform", platform.as_str());
        }
        if self.pull == Pull::Never {
            push("--pull", "never");
        }
        if self.selinux_enforcing {
            push("--security-opt", "label=disable");
        }
        for mount in &self.mounts {
            push("--mount", &mount.value()?);
        }
        if let Some(tmpfs) = &self.tmpfs {
            // `--mount type=tmpfs` cannot ask for `exec`. Any user may write:
            // the image may have one that is not root.
            push(
                "--tmpfs",
                &format!("{}:rw,exec,mode=1777,size={}", tmpfs.target, tmpfs.size),
            );
        }
        for variable in &self.variables {
            push("--env", variable.assignment());
        }
        // By name: the client takes the value from its own environment, and everybody on
        // this machine may read a command line.
        for name in &self.passed_variables {
            push("--env", name);
        }
        args.extend(self.gpus.iter().cloned());
        args.extend(self.engine_arguments.iter().cloned());
        // An image's own entry point would swallow our script.
        args.extend(["--entrypoint".into(), "sh".into()]);
        args.push(self.image.as_str().into());
        args.extend(self.script.shell_arguments());
        Ok(args)
    }
}

/// A container that does one thing for us beside the build: its image is not fetched.
pub(super) struct HelperSpec<'a> {
    /// `run` or `create`, and the options that come first.
    pub command: &'a [&'a str],
    /// What it is for; the label's value.
    pub purpose: &'a str,
    /// Its network: `none`, or that of another container.
    pub network: &'a str,
    /// More options.
    pub options: Vec<OsString>,
    /// What is started instead of the image's own entry point.
    pub entrypoint: Option<&'a str>,
    /// Its image.
    pub image: &'a str,
    /// The arguments of what is started.
    pub args: Vec<OsString>,
}

impl HelperSpec<'_> {
    /// The arguments of the engine's client.
    pub fn arguments(self) -> Vec<OsString> {
        let mut arguments = os_strings(self.command);
        owner::push_labels(&mut arguments, self.purpose);
        arguments.extend(os_strings(&["--network", self.network, "--pull", "never"]));
        arguments.extend(self.options);
        if let Some(program) = self.entrypoint {
            arguments.extend(os_strings(&["--entrypoint", program]));
        }
        arguments.push(self.image.into());
        arguments.extend(self.args);
        arguments
    }
}

/// The arguments of the engine's client that run something in a container that is there.
pub(super) fn exec_arguments(
    interactive: bool,
    variables: &[ContainerVariable],
    container: &str,
    command: impl IntoIterator<Item = OsString>,
) -> Vec<OsString> {
    let mut arguments = vec!["exec".into()];
    arguments.extend(interactive.then(|| "--interactive".into()));
    for variable in variables {
        arguments.extend(["--env".into(), variable.assignment().into()]);
    }
    arguments.push(container.into());
    arguments.extend(command);
    arguments
}

/// All that a run of a script in a container depends on that is there already.
#[derive(Debug, Clone)]
pub struct ExecSpec {
    /// Variables that the caller wants for it.
    pub variables: Vec<ContainerVariable>,
    /// What runs.
    pub script: Script,
}

impl ExecSpec {
    /// The arguments after the engine's name.
    pub fn exec_arguments(&self, container: &str) -> Vec<OsString> {
        let shell = std::iter::once("sh".into()).chain(self.script.shell_arguments());
        exec_arguments(true, &self.variables, container, shell)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::container::scripts;

    #[test]
    fn the_whole_command_line_of_a_helper() {
        let helper = HelperSpec {
            command: &["run", "--rm"],
            purpose: "look",
            network: "none",
            options: os_strings(&["--read-only"]),
            entrypoint: Some("sh"),
            image: "img:1",
            args: os_strings(&["-c", ":"]),
        };
        let arguments = helper.arguments();
        let owner = owner::Owner::this_process().unwrap().label();
        let line = arguments.join(OsStr::new("|"));
        assert_eq!(
            line.to_str().unwrap(),
            format!(
                "run|--rm|--label|io.github.pixi-offline.command=look|\
                 --label|io.github.pixi-offline.process={owner}|--network|none|--pull|never|\
                 --read-only|--entrypoint|sh|img:1|-c|:"
            )
        );
    }

    #[test]
    fn the_whole_command_line_of_an_exec() {
        let variables = [ContainerVariable::new(OsStr::new("A=b c")).unwrap()];
        let arguments = exec_arguments(true, &variables, "box", os_strings(&["sh", "-c", ":"]));
        let line = arguments.join(OsStr::new("|"));
        assert_eq!(line, "exec|--interactive|--env|A=b c|box|sh|-c|:");
        let arguments = exec_arguments(false, &[], "box", os_strings(&["id"]));
        assert_eq!(arguments.join(OsStr::new("|")), "exec|box|id");
    }

    #[test]
    fn the_whole_command_line() {
        let spec = ContainerSpec {
            name: ContainerName::new("final-verify-product", "0123456789abcdef"),
            command: "final-verify-product",
            image: ImageReference::new(OsStr::new("img:1")).unwrap(),
            platform: Some(ContainerPlatform::new(OsStr::new("linux/amd64")).unwrap()),
            mounts: vec![Mount::read_only("/p,q", "/src")],
            tmpfs: Some(Tmpfs {
                target: "/product".into(),
                size: 42,
            }),
            network: Network::None,
            pull: Pull::Never,
            variables: vec![ContainerVariable::new(OsStr::new("A=b c")).unwrap()],
            passed_variables: vec!["HTTPS_PROXY".into()],
            gpus: os_strings(&["--gpus", "all"]),
            engine_arguments: vec!["--cpus=1".into()],
            selinux_enforcing: true,
            counting: None,
            masking: Masking::default(),
            script: Script::new(scripts::BUILD, "nonce", &[("a", "it's")], ["run", "--"]),
        };
        let args = spec.run_arguments().unwrap();
        let owner = owner::Owner::this_process().unwrap().label();
        let (options, script) = args.split_at(args.len() - 7);
        assert_eq!(
            options.join(OsStr::new("|")).to_str().unwrap(),
            format!(
                "run|--interactive|--name|final-verify-product-0123456789ab|\
                 --label|io.github.pixi-offline.command=final-verify-product|\
                 --label|io.github.pixi-offline.process={owner}|--log-driver|none|\
                 --cap-drop|MKNOD|--network|none|--platform|linux/amd64|--pull|never|\
                 --security-opt|label=disable|--mount|type=bind,\"source=/p,q\",target=/src,readonly|\
                 --tmpfs|/product:rw,exec,mode=1777,size=42|--env|A=b c|--env|HTTPS_PROXY|--gpus|all|--cpus=1|--entrypoint|sh|img:1|-c"
            )
        );
        assert_eq!(script[1], "pixi-offline");
        assert_eq!(script[3..], ["nonce", "a='it'\\''s'\n", "run", "--"]);
        // The tokens of its events are in no argument of the command line.
        let line = spec.script.tokens().line();
        let args = args.join(OsStr::new(" "));
        let args = args.to_str().unwrap();
        assert!(line.split(' ').all(|token| !args.contains(token)));
    }
}
