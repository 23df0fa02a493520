//! The final verification on an engine that does not see this machine's files.

use std::path::{Path, PathBuf};

use tar::EntryType;

use crate::container::scripts;
use crate::container::{self, KeptVolume, PhaseLog, RunResult};
use crate::context::Context;
use crate::layout;
use crate::steps::container_out::ContainerOut;
use crate::steps::final_verify_product::{Run, container_for, first_of, memory_for};
use crate::steps::volume_sync::{self, BaseVolume, RemoteVolumes, VolumeSpec};

/// The product and an out folder, in one volume that stands for the folder which both
/// are in inside the container.
pub(super) fn volume_spec(product: &Path, nonce: &str) -> VolumeSpec {
    let out = name_in_volume(scripts::OUT);
    VolumeSpec {
        target: Path::new(scripts::OUT)
            .parent()
            .map_or(String::new(), |parent| parent.display().to_string()),
        read_only: false,
        folders: vec![(name_in_volume(scripts::PRODUCT_SOURCE), product.to_owned())],
        empty: vec![
            (EntryType::Directory, out.clone()),
            (EntryType::Regular, out.join(container::nonce_file(nonce))),
        ],
    }
}

/// The name of a folder in the volume.
fn name_in_volume(path: &str) -> PathBuf {
    Path::new(path)
        .file_name()
        .map_or_else(PathBuf::new, PathBuf::from)
}

impl Run<'_> {
    /// Carries the product to the engine, installs and verifies it there, and brings back
    /// what the verification wrote.
    pub(super) fn run_elsewhere(
        &self,
        built: Option<KeptVolume>,
        container_out: ContainerOut,
        logs: &[PhaseLog],
        context: &Context,
    ) -> anyhow::Result<RunResult> {
        let product = self.product.path();
        let nonce = context.nonce();
        let volume_spec = volume_spec(product, &nonce);
        let mounts = volume_sync::mounts(std::slice::from_ref(&volume_spec), &nonce);
        // What is free of it is not known, so half of it counts as that.
        let tmpfs = memory_for(product, self.engine.memory() / 2);
        let spec = container_for(self.request, mounts, tmpfs, &nonce, context)?;
        let built = built.map(KeptVolume::reopen).transpose()?;
        let in_product = self.product.cache();
        let there = built.as_ref().map(|volume| BaseVolume {
            volume,
            folder: layout::CACHE,
            like: name_in_volume(scripts::PRODUCT_SOURCE)
                .join(in_product.strip_prefix(product).unwrap_or(&in_product)),
        });
        let carried = RemoteVolumes::there(
            self.engine,
            &self.request.image,
            &context.host.program,
            vec![volume_spec],
            there.as_ref(),
            &nonce,
            context,
        )?;
        let mut ended = container::run(self.engine, &spec, None, logs, &context.report)?;
        // Without an end of the script there is nobody to answer.
        if ended.outcome.finished.is_some() {
            let brought = self.fetch_out(&carried, container_out, &nonce, context);
            ended.end = first_of(ended.end, brought, context);
        }
        Ok(ended)
    }

    /// Brings what is in the out folder there into the one here.
    fn fetch_out(
        &self,
        carried: &RemoteVolumes<'_>,
        container_out: ContainerOut,
        nonce: &str,
        context: &Context,
    ) -> anyhow::Result<()> {
        let out = name_in_volume(scripts::OUT);
        let leave_out = vec![
            format!("/{}", name_in_volume(scripts::PRODUCT_SOURCE).display()),
            format!("/{}/{}", out.display(), container::nonce_file(nonce)),
        ];
        let arrived = container_out.path();
        let top = out.to_str().map(|name| (name, EntryType::Directory));
        carried.back(0, &arrived, leave_out, top.as_slice(), &[], context)?;
        container_out.move_out(out, &self.logs.files(), context)
    }
}
