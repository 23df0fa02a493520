//! The GPUs that containers get.

use std::ffi::{OsStr, OsString};
use std::fmt;

use clap::Args;

use crate::failure::Failure;
use crate::request::one;

/// Which GPUs of the engine's machine the containers get.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Container engine")]
pub struct GpuOptions {
    /// Hand GPUs to the containers: all, a number of them, or device=ID,ID with the numbers or UUIDs
    /// that nvidia-smi lists
    #[arg(long, value_name = "WHAT")]
    pub gpus: Option<OsString>,
}

impl GpuOptions {
    /// The GPUs, when some are asked for.
    ///
    /// # Errors
    ///
    /// Exit code 2, as [`Gpus::new`].
    pub fn parse(&self) -> anyhow::Result<Option<Gpus>> {
        one(&self.gpus, Gpus::new)
    }
}

/// GPUs of the engine's machine (`--gpus`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gpus {
    /// All of them.
    All,
    /// So many, which the engine chooses.
    Count(u16),
    /// These, by number or UUID.
    Devices(Vec<String>),
}

impl Gpus {
    /// Takes `all`, a number from 1 on, or `device=` with numbers or UUIDs, commas between.
    ///
    /// # Errors
    ///
    /// Exit code 2 for anything else.
    pub fn new(text: &OsStr) -> anyhow::Result<Gpus> {
        let is_device = |id: &str| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || "-_:.".contains(c);
            id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.chars().all(is_part)
        };
        let parsed = text.to_str().and_then(|text| {
            if let Some(list) = text.strip_prefix("device=") {
                let ids: Vec<String> = list.split(',').map(str::to_owned).collect();
                return ids
                    .iter()
                    .all(|id| is_device(id))
                    .then_some(Gpus::Devices(ids));
            }
            match text {
                "all" => Some(Gpus::All),
                text if text.bytes().all(|digit| digit.is_ascii_digit()) => text
                    .parse()
                    .ok()
                    .filter(|count| *count > 0)
                    .map(Gpus::Count),
                _ => None,
            }
        });
        parsed.ok_or_else(|| {
            Failure::usage(format!(
                "--gpus {text:?} names no GPUs: give all, a number such as 1, or device=0,1 with numbers or UUIDs of `nvidia-smi -L`; anything else goes to the engine with --engine-arg"
            ))
        })
    }

    /// The arguments of the engine's `run`. podman knows GPUs as devices of NVIDIA's Container
    /// Device Interface; its own `--gpus`, since version 5, is another name for these.
    ///
    /// # Errors
    ///
    /// Exit code 2 for a number with podman, which cannot choose.
    pub fn arguments(&self, is_podman: bool) -> anyhow::Result<Vec<OsString>> {
        let args: Vec<String> = match (self, is_podman) {
            (Gpus::All, true) => vec!["--device".into(), "nvidia.com/gpu=all".into()],
            (Gpus::Devices(ids), true) => ids
                .iter()
                .flat_map(|id| ["--device".to_owned(), format!("nvidia.com/gpu={id}")])
                .collect(),
            (Gpus::Count(count), true) => {
                return Err(Failure::usage(format!(
                    "--gpus {count}: podman does not choose GPUs by number; give --gpus all, or --gpus device=0 with the numbers or UUIDs of `nvidia-smi -L`"
                )));
            }
            // docker reads the value as a line of CSV, and so the list needs quotes.
            (Gpus::Devices(ids), false) if ids.len() > 1 => {
                vec!["--gpus".into(), format!("\"{self}\"")]
            }
            (_, false) => vec!["--gpus".into(), self.to_string()],
        };
        Ok(args.into_iter().map(OsString::from).collect())
    }
}

/// As it is typed.
impl fmt::Display for Gpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gpus::All => f.write_str("all"),
            Gpus::Count(count) => write!(f, "{count}"),
            Gpus::Devices(ids) => write!(f, "device={}", ids.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str, is_podman: bool) -> String {
        let gpus = Gpus::new(text.as_ref()).unwrap();
        assert_eq!(gpus.to_string(), text);
        match gpus.arguments(is_podman) {
            Ok(args) => args.join(OsStr::new(" ")).into_string().unwrap(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn each_engine_gets_its_own_words() {
        for (text, docker, podman) in [
            ("all", "--gpus all", "--device nvidia.com/gpu=all"),
            ("device=1", "--gpus device=1", "--device nvidia.com/gpu=1"),
            (
                "device=0,GPU-3a2b",
                "--gpus \"device=0,GPU-3a2b\"",
                "--device nvidia.com/gpu=0 --device nvidia.com/gpu=GPU-3a2b",
            ),
        ] {
            assert_eq!(args(text, false), docker);
            assert_eq!(args(text, true), podman);
        }
        assert_eq!(args("2", false), "--gpus 2");
        let refused = args("2", true);
        assert!(refused.contains("--gpus device=0"), "{refused}");
    }

    #[test]
    fn what_names_no_gpus_is_refused() {
        for text in [
            "",
            "0",
            "-1",
            "+1",
            "70000",
            "ALL",
            "none",
            "device=",
            "device=0,",
            "device=a b",
            "device=-0",
            "all,1",
            "capabilities=compute",
            "1 --privileged",
        ] {
            let error = Gpus::new(text.as_ref()).unwrap_err().to_string();
            assert!(error.contains("device=0,1"), "{text:?}: {error}");
        }
    }
}
