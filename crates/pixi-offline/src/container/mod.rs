//! What the container engine is asked, and the scripts that run inside.
//!
//! In: what a container shall be (image, mounts, network, script and its
//! words), as data. Out: what happened in it. This directory knows no Pixi project
//! and no layout: paths and words are handed to it.
//!
//! A run is a conversation. The script inside writes its output and, between,
//! [`protocol`]s that carry tokens made for this run; our side separates the
//! two, so a log per phase comes out, and success is what the script said, not
//! what an exit code of the client suggests.

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
mod volume;

pub use attempts::{Counting, serve_counters};
pub use call::{fetch, read_answer};
pub use engine::{Engine, EngineVersion, Image};
pub use images::Look;
pub use mount::Mount;
pub use outcome::Outcome;
pub use owner::remove_stale;
pub use running_container::{RunningContainer, UploadedAgent};
pub use session::{PhaseLog, RunResult, run, run_in};
pub use shared_dirs::{Access, Probe, nonce_file, shares, shares_writable};
pub use spec::{ContainerName, ContainerSpec, ExecSpec, Network, Pull, Tmpfs};
pub use volume::{KeptVolume, TransferContainer, Volume};

/// The first point at which a script waits for the host: nothing of what is verified has
/// run. The others are called as the phase that is over.
pub const START: &str = "start";
