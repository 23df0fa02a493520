//! Entries of a product that give rights where it is unpacked.

use crate::context::Context;
use crate::counted::counted;
use crate::evidence::manifest::{Entry, EntryKind};

const SET_USER_OR_GROUP_ID: u32 = 0o6000;

/// Warns of files that run as their owner and of devices: a container may have left them
/// in the workdir, and whoever unpacks the product as root makes them again.
pub(crate) fn warn_of_special_entries(entries: &[Entry], context: &Context) {
    let is_set_id = |entry: &&Entry| matches!(&entry.kind, EntryKind::File { mode, .. } if mode.bits() & SET_USER_OR_GROUP_ID != 0);
    let is_device = |entry: &&Entry| {
        let kind = &entry.kind;
        matches!(
            kind,
            EntryKind::BlockDevice { .. } | EntryKind::CharacterDevice { .. }
        )
    };
    let warn = |found: Vec<&Entry>, one: &str, many: &str| {
        if let Some(first) = found.first() {
            context.report.warning(format_args!(
                "{} where root unpacks it, {} for example: such entries come from the project, its resources or a container; create the workdir again without them if nobody put them there",
                counted(found.len(), one, many),
                first.path
            ));
        }
    };
    warn(
        entries.iter().filter(is_set_id).collect(),
        "file of the product is setuid or setgid, and runs with its owner's rights",
        "files of the product are setuid or setgid, and run with their owner's rights",
    );
    warn(
        entries.iter().filter(is_device).collect(),
        "entry of the product is a device, and opens hardware of the machine",
        "entries of the product are devices, and open hardware of the machine",
    );
}
