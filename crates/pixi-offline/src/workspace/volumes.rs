//! Directories of this machine on an engine that does not see them: carried there into
//! volumes as streams, and back.

use std::collections::HashMap;
use std::io::{BufWriter, PipeWriter, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::HumanBytes;
use tar::EntryType;

use super::volume_agent::{self, Stamp, TransferRequest};
use crate::container::{self, Engine, Mount, TransferContainer, Volume};
use crate::context::Context;
use crate::counted;
use crate::request::ImageReference;
use crate::staging::Rules;
use crate::transfer::{self, ExpectedStream, ReceiveStats, SendStats, Sender};
use crate::workspace::agent_request::AgentRequest;
use crate::workspace::container_out;

/// What goes into one volume.
#[derive(Default)]
pub(super) struct VolumeSpec {
    /// Where the volume is in the container.
    pub(super) target: String,
    /// Whether it is only read there.
    pub(super) read_only: bool,
    /// Directories of this machine by their names in the volume; a single one without a
    /// name is the volume itself.
    pub(super) dirs: Vec<(PathBuf, PathBuf)>,
    /// Empty directories and files beside them.
    pub(super) empty: Vec<(EntryType, PathBuf)>,
    /// Files of these commands by their names, with their content, which may be secret.
    pub(super) files: Vec<(PathBuf, Vec<u8>)>,
}

/// The mounts of volumes that are not yet filled, for this run's nonce.
pub(super) fn mounts(volume_specs: &[VolumeSpec], nonce: &str) -> Vec<Mount> {
    let mount = |(number, volume_spec): (usize, &VolumeSpec)| {
        let mount = Mount::volume(volume_name(nonce, number), &volume_spec.target);
        match volume_spec.read_only {
            true => mount.only_read(),
            false => mount,
        }
    };
    volume_specs.iter().enumerate().map(mount).collect()
}

fn volume_name(nonce: &str, number: usize) -> String {
    format!("{}-{number}", Volume::name_for(nonce))
}

/// Files that the engine has already, in a volume of an earlier step.
pub(super) struct BaseVolume {
    /// The volume.
    pub(super) volume: Volume,
    /// The directory in it.
    pub(super) dir: &'static str,
    /// Which directory of the first volume has the same files, by its path in the volume.
    pub(super) like: PathBuf,
}

/// Volumes on the engine, filled from this machine.
pub(super) struct RemoteVolumes<'a> {
    // Before the volumes: one that a container has cannot be removed.
    transfer_container: TransferContainer<'a>,
    volumes: Vec<Volume>,
}

/// Where the transfer container has a volume.
fn mount_point(number: usize) -> String {
    format!("/.pixi-offline/{number}")
}

impl<'a> RemoteVolumes<'a> {
    /// Makes the volumes, and fills them. `program` is one of these commands, which
    /// runs as the agent.
    ///
    /// # Errors
    ///
    /// 128+n after a signal; 125 when the engine refuses or goes away, 1 when its disk is
    /// full: nothing is left on it then.
    pub(super) fn create(
        engine: &'a Engine,
        image: &ImageReference,
        program: &Path,
        volume_specs: Vec<VolumeSpec>,
        base: Option<&BaseVolume>,
        nonce: &str,
        context: &Context,
    ) -> anyhow::Result<RemoteVolumes<'a>> {
        let mut volumes = Vec::new();
        let mut mounts = Vec::new();
        for number in 0..volume_specs.len() {
            let volume = Volume::make(engine, volume_name(nonce, number))?;
            mounts.push(Mount::volume(volume.name(), mount_point(number)));
            volumes.push(volume);
        }
        if let Some(base) = base {
            let place = mount_point(volume_specs.len());
            mounts.push(Mount::volume(base.volume.name(), place).only_read());
        }
        let args = AgentRequest::Transfer.arguments()?;
        let transfer_container =
            TransferContainer::make(engine, image, &mounts, program, &args, nonce)?;
        let remote_volumes = RemoteVolumes {
            transfer_container,
            volumes,
        };
        let reference = base.map(|base| {
            let place = mount_point(volume_specs.len());
            (base, Path::new(&place).join(base.dir))
        });
        for (number, volume_spec) in volume_specs.into_iter().enumerate() {
            remote_volumes.not_interrupted()?;
            let reference = reference.as_ref().filter(|_| number == 0);
            remote_volumes.fill(number, volume_spec, reference, context)?;
        }
        Ok(remote_volumes)
    }

    fn fill(
        &self,
        number: usize,
        volume_spec: VolumeSpec,
        reference: Option<&(&BaseVolume, PathBuf)>,
        context: &Context,
    ) -> anyhow::Result<()> {
        let known = match reference {
            Some((_, dir)) => self.list(dir)?,
            None => HashMap::new(),
        };
        let like = reference.map(|(base, _)| base.like.clone());
        let begun = Instant::now();
        let end_marker = context.nonce();
        let request = TransferRequest::Fill {
            dir: mount_point(number).into(),
            there: reference.map(|(_, dir)| dir.clone()),
            end_marker: end_marker.clone(),
        };
        let (tell, told) = std::sync::mpsc::channel();
        let write = move |to: PipeWriter| {
            let mut to = BufWriter::with_capacity(1 << 20, to);
            put(&request, &mut to)?;
            let mut sender = Sender::new(&mut to);
            for (at, dir) in &volume_spec.dirs {
                let is_like = |path: &Path, metadata: &std::fs::Metadata| {
                    let path = at.join(path);
                    let path = path.strip_prefix(like.as_ref()?).ok()?;
                    let stamp = (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
                    (known.get(path) == Some(&stamp)).then(|| path.to_owned())
                };
                sender.dir(dir, at, &Rules::new(), &is_like)?;
            }
            for (kind, name) in &volume_spec.empty {
                sender.empty(*kind, name)?;
            }
            for (name, content) in &volume_spec.files {
                sender.file(name, content)?;
            }
            let sent = sender.finish(&end_marker)?;
            to.flush()?;
            let _ = tell.send(sent);
            Ok(())
        };
        let received: ReceiveStats = self.transfer_container.request(write, |stream| {
            let answer = container::read_answer(stream)?;
            // An empty one is told by the exit code.
            Ok(serde_json::from_slice(&answer).unwrap_or_default())
        })?;
        let sent = told.recv().context("the stream was not written")?;
        say(
            "copied to the engine",
            &SendStats {
                entries: received.entries,
                ..sent
            },
            begun.elapsed(),
            context,
        );
        Ok(())
    }

    fn list(&self, dir: &Path) -> anyhow::Result<HashMap<PathBuf, Stamp>> {
        let request = TransferRequest::List {
            dir: dir.to_owned(),
        };
        self.transfer_container.request(
            move |mut to| put(&request, &mut to),
            |stream| {
                let listing = container::read_answer(stream)?;
                volume_agent::lines(&listing)
            },
        )
    }

    /// Brings what is in a volume into a directory that is there and empty, but
    /// for what `leave_out`, rsync patterns, keep back. `here` are directories of this
    /// machine by their names in the volume: what did not change since it came from
    /// there is taken from there again. `top` are the names at its top that may come,
    /// with their kinds; others stay there, with a warning.
    ///
    /// # Errors
    ///
    /// As [`RemoteVolumes::create`], and when something cannot be written here or is of
    /// another kind.
    pub(super) fn fetch(
        &self,
        number: usize,
        into: &Path,
        leave_out: Vec<String>,
        top: &[(&str, EntryType)],
        here: &[(&Path, &Path)],
        context: &Context,
    ) -> anyhow::Result<()> {
        self.not_interrupted()?;
        let begun = Instant::now();
        let end_marker = context.nonce();
        let request = TransferRequest::Empty {
            dir: mount_point(number).into(),
            leave_out,
            end_marker: end_marker.clone(),
        };
        let expected = ExpectedStream {
            there: here,
            top: Some(top),
        };
        let (received, left) = self.transfer_container.request(
            move |mut to| put(&request, &mut to),
            |stream| transfer::receive(stream, into, &end_marker, &expected),
        )?;
        container_out::warn_of_left(&left, context);
        let sent = SendStats {
            entries: received.entries,
            bytes: received.bytes,
            bytes_skipped: received.bytes_skipped,
        };
        say("copied back", &sent, begun.elapsed(), context);
        Ok(())
    }

    /// Whether no signal came so far.
    ///
    /// # Errors
    ///
    /// 128+n.
    pub(super) fn not_interrupted(&self) -> anyhow::Result<()> {
        self.volumes.iter().try_for_each(Volume::not_interrupted)
    }

    /// Keeps the first volume and removes all else.
    pub(super) fn into_first_volume(self) -> anyhow::Result<Volume> {
        drop(self.transfer_container);
        let first = self.volumes.into_iter().next();
        first.context("nothing was copied")
    }
}

fn put(request: &TransferRequest, to: &mut impl std::io::Write) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *to, request)?;
    Ok(to.write_all(b"\n")?)
}

fn say(what: &str, sent: &SendStats, elapsed: Duration, context: &Context) {
    let skipped = match sent.bytes_skipped {
        0 => String::new(),
        bytes => format!(", {} not sent again", HumanBytes(bytes)),
    };
    context.report.note(format_args!(
        "{what}: {}, {}{skipped}, in {:.1} s",
        counted::entries(sent.entries),
        HumanBytes(sent.bytes),
        elapsed.as_secs_f64()
    ));
}
