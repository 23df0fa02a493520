//! Trees as streams: out of a container and into a directory of this machine.
//!
//! In: a directory, or a stream of bytes that another user may have made. Out: a
//! tar stream (POSIX pax format, so that times keep their nanoseconds), or the
//! directory again. This directory knows no engine and no layout.

mod receive;
mod send;

pub use receive::{ExpectedStream, LeftBehind, ReceiveStats, receive};
pub use send::{FixedLenReader, SendStats, Sender, send};

/// The pax record of a file that is not in the stream: the path at which the
/// receiver has the same one. Records of a vendor start with its name (pax(1)).
const DEDUP_REF: &str = "PIXIOFFLINE.same-as";

/// The size of such a file, in bytes.
const SAME_SIZE: &str = "PIXIOFFLINE.size";

/// The name of a stream's last entry: a stream that was cut does not have it.
fn last_entry(end_marker: &str) -> String {
    format!(".pixi-offline-end-{end_marker}")
}

#[cfg(test)]
mod tests;
