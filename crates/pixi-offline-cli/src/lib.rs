//! `pixi-offline`: the commands of this project by short names.
//!
//! In: the words of the command line. Out: this process becomes the command that the first
//! word stands for, so input, output, signals and the exit code are that command's own. It
//! reads no option of a command but the one that decides between the two that stage.

use std::ffi::{OsStr, OsString};

use clap::Command;
use pixi_offline::entry::Parsed;
use pixi_offline::failure::{self, Failure};
use pixi_offline::host_env::HostEnv;
use pixi_offline::tools::Program;

/// The option that tells a project in a container from one on this machine.
const CONTAINER_OPTION: &str = "--container-id";

/// The command that stages a project in a container.
const STAGE_FROM_CONTAINER: &str = "create-workdir-from-container";

/// The end of the help; each command line in it is parsed by a test.
const EXAMPLES: &str = r"Examples:
  # a product of the project in ./weather, proved by its task `smoke`
  $ pixi-offline build --project-dir weather --workdir work --verify-task smoke

  # the options of a command
  $ pixi-offline build --help

  # the same in its steps
  $ pixi-offline stage --image ghcr.io/prefix-dev/pixi:0.77.0 --project-dir weather --workdir work
  $ pixi-offline product --workdir work
  $ pixi-offline verify --image ghcr.io/prefix-dev/pixi:0.77.0 \
      --product-dir work/product --out-dir work/proof";

/// A short name.
#[derive(Debug)]
pub struct ShortName {
    /// The word that is typed.
    pub word: &'static str,
    /// The command that it starts.
    pub command: &'static str,
    about: &'static str,
}

/// All of them, in the order of the work.
pub const SHORT_NAMES: [ShortName; 7] = [
    ShortName {
        word: "build",
        command: "build-offline-product",
        about: "Make a product and prove that it installs offline: all steps in one go",
    },
    ShortName {
        word: "stage",
        command: "create-workdir-from-host",
        about: "Stage, install and verify a project in a container with a network; with --container-id, a project in a running container",
    },
    ShortName {
        word: "product",
        command: "make-archive-ready-product",
        about: "Make a product of a workdir",
    },
    ShortName {
        word: "verify",
        command: "final-verify-product",
        about: "Install a product in a container without a network and verify it there",
    },
    ShortName {
        word: "image",
        command: "make-production-image",
        about: "Make a container image without pixi of a product",
    },
    ShortName {
        word: "compare",
        command: "compare-products",
        about: "Show what differs between two products",
    },
    ShortName {
        word: "pack",
        command: "pack-product",
        about: "Pack a product into one archive, or into parts of a size",
    },
];

/// The command line, for the help, the man page and the completions.
pub fn command() -> Command {
    Command::new("pixi-offline")
        .version(env!("CARGO_PKG_VERSION"))
        .about(
            "Package a Pixi project for an air-gapped machine, and prove offline that it installs",
        )
        .after_help(EXAMPLES)
        .max_term_width(100)
        .disable_help_subcommand(true)
        .subcommand_value_name("COMMAND")
        .subcommand_required(true)
        .subcommands(SHORT_NAMES.iter().map(|name| {
            let about = format!("{} ({})", name.about, name.command);
            Command::new(name.word).about(about)
        }))
}

/// A command and the words that it is given.
#[derive(Debug)]
pub struct Chosen {
    command: &'static str,
    arguments: Vec<OsString>,
}

/// Reads the words of the command line.
///
/// # Errors
///
/// Exit code 2 when the first word is no short name, or there is none.
pub fn choose(words: &[OsString]) -> anyhow::Result<Parsed<Chosen>> {
    let Some((word, arguments)) = words.split_first() else {
        return Err(unknown("give a command"));
    };
    if word == "--help" || word == "-h" {
        return Ok(Parsed::Text(command().render_help().to_string()));
    }
    if word == "--version" || word == "-V" {
        return Ok(Parsed::Text(command().render_version()));
    }
    let command = command_of(word, arguments)
        .ok_or_else(|| unknown(&format!("{word:?} is not a command of pixi-offline")))?;
    Ok(Parsed::Options(Box::new(Chosen {
        command,
        arguments: arguments.to_owned(),
    })))
}

/// Becomes the command; returns only when that fails.
///
/// # Errors
///
/// Exit code 127 when the command is neither beside this program nor on `PATH`.
pub fn start(chosen: Chosen, host: &HostEnv) -> anyhow::Result<()> {
    Err(find(chosen.command, host)?.replace_process(&chosen.arguments))
}

/// The command that a word stands for, with these arguments.
pub fn command_of(word: &OsStr, arguments: &[OsString]) -> Option<&'static str> {
    let name = SHORT_NAMES.iter().find(|name| word == name.word)?;
    // What follows `--` are the words of a verification.
    let mut options = arguments.iter().take_while(|argument| *argument != "--");
    let from_container = options.any(|option| {
        let option = option.to_string_lossy();
        option.split('=').next() == Some(CONTAINER_OPTION)
    });
    match name.word {
        "stage" if from_container => Some(STAGE_FROM_CONTAINER),
        _ => Some(name.command),
    }
}

fn unknown(what: &str) -> anyhow::Error {
    let words: Vec<&str> = SHORT_NAMES.iter().map(|name| name.word).collect();
    Failure::usage(format!(
        "{what}: the commands are {}; see pixi-offline --help",
        words.join(", ")
    ))
}

/// The program of a command: beside this one, else on `PATH`.
fn find(name: &str, host: &HostEnv) -> anyhow::Result<Program> {
    let beside = host.program.with_file_name(name);
    Program::find(beside.as_os_str(), host)
        .or_else(|_| Program::find(name.as_ref(), host))
        .map_err(|_| {
            Failure::with_code(
                failure::MISSING_PROGRAM,
                format!(
                    "Missing required command: {name} (neither beside {} nor on PATH)",
                    host.program.display()
                ),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(words: &[&str]) -> Option<&'static str> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        command_of(&words[0], &words[1..])
    }

    #[test]
    fn each_word_stands_for_one_command_and_container_id_decides_for_stage() {
        for (words, command) in [
            (
                &["build", "--container-id", "c"][..],
                "build-offline-product",
            ),
            (&["stage"], "create-workdir-from-host"),
            (&["stage", "--container-id", "c"], STAGE_FROM_CONTAINER),
            (
                &["stage", "--workdir", "w", "--container-id=c"],
                STAGE_FROM_CONTAINER,
            ),
            (
                &["stage", "--verify-run", "--", "x", "--container-id", "c"],
                "create-workdir-from-host",
            ),
            (
                &["stage", "--container-identity"],
                "create-workdir-from-host",
            ),
            (&["product"], "make-archive-ready-product"),
            (&["verify"], "final-verify-product"),
            (&["image"], "make-production-image"),
            (&["compare", "a", "b"], "compare-products"),
            (&["pack", "a", "b.tar"], "pack-product"),
        ] {
            assert_eq!(started(words), Some(command), "{words:?}");
        }
        for word in ["", "builds", "build-offline-product", "--", "-x"] {
            assert_eq!(started(&[word]), None, "{word}");
        }
    }
}
