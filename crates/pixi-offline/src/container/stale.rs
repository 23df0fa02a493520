//! Removes what runs that were killed have left on the engine.

use crate::container::engine::Engine;
use crate::container::owner::{LABEL, Owner};

/// Removes the containers that do not run and the volumes whose process has ended: it was
/// killed before it could remove them. Failures are passed over: this is tidying,
/// and others need not wait for it. A run does it once.
pub fn remove_stale(engine: &Engine) {
    if !engine.was_swept() {
        engine.meanwhile(remove_stale_now);
    }
}

fn remove_stale_now(engine: &Engine) {
    let ended = |label: &str| Owner::parse(label).is_some_and(|owner| owner.has_ended());
    for (id, label) in engine.stopped_with_label(LABEL).unwrap_or_default() {
        if ended(&label) {
            // Without force: one that has been started meanwhile stays.
            let _ = engine.remove_stopped(&id);
        }
    }
    for (name, label) in engine.volumes_with_label(LABEL).unwrap_or_default() {
        if ended(&label) {
            engine.remove_volume(&name);
        }
    }
}
