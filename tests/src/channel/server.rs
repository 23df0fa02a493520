//! Serves the channel from a container on the engine's default network.

use anyhow::Result;

use super::Home;
use crate::httpd::Site;

/// Sees to it that a container serves this channel, and returns the channel's address.
pub(super) fn ensure_served(home: &Home) -> Result<String> {
    Site {
        busybox: &home.busybox(),
        dir: &home.served(),
        name: "channel",
        probe: "noarch/repodata.json",
    }
    .ensure_served()
}
