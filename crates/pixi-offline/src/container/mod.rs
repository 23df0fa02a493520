//! What the container engine is asked, and the scripts that run inside.
//!
//! In: what a container shall be (image, mounts, network, script and its
//! arguments), as data. Out: what happened in it. This directory knows no Pixi project
//! and no layout: paths and arguments are handed to it.
//!
//! The script writes output and events ([`protocol`]); events carry tokens of this run.
//! Our side separates the two and writes a log for each phase. Success is an event of the
//! script, and not an exit code of the client.

mod attempts;
mod call;
mod demultiplexer;
mod disk_watch;
mod endpoint;
mod engine;
mod engine_arguments;
mod images;
mod inspect;
mod masking;
mod mount;
mod outcome;
mod output_sink;
mod owner;
pub mod protocol;
mod running_container;
pub mod scripts;
mod session;
mod shared_dirs;
mod signals;
mod spec;
mod stale;
mod volume;

pub use attempts::serve_counters;
pub use call::{fetch, read_answer};
pub use engine::{Engine, EngineVersion, Image};
pub use images::ImageProbe;
pub use masking::Masking;
pub use mount::Mount;
pub use outcome::Outcome;
pub use output_sink::PhaseLog;
pub use running_container::{RunningContainer, UploadedAgent};
pub use session::{RunResult, run, run_in};
pub use shared_dirs::{Access, Probe, nonce_file, not_shared, shares, shares_writable};
pub use spec::{ContainerName, ContainerSpec, Counting, ExecSpec, Network, Pull, Tmpfs};
pub use stale::remove_stale;
pub use volume::{KeptVolume, TransferContainer, Volume};

/// The first point at which a script waits for the host: nothing of what is verified has
/// run. The others are called as the phase that is over.
pub const START: &str = "start";
