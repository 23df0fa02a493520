//! Where a product and its logs are until the product has passed its final
//! verification.
//!
//! A product that has passed stays where it is, with its logs, until another one has
//! passed: the new one is made beside it, with the name of one that failed, and takes
//! its place in one step.

use std::fs;
use std::path::{Path, PathBuf};

use super::request::{COMMAND, OfflineProductRequest, asked_out_dir, asked_product};
use crate::commands::make_product::MadeProduct;
use crate::context::Context;
use crate::evidence::evidence_file::{self, LONGEST_LIST};
use crate::evidence::verification::VerificationRecord;
use crate::evidence::verification::Verified;
use crate::evidence::{WorkdirRecord, sums};
use crate::layout::{self, OfflineLogs, Product, Workdir};
use crate::replacement::{DirLock, RunLock, StagedDir, put_in_place, remove_dir};

/// The places of a run.
pub(super) struct Places {
    workdir: Workdir,
    /// Where the product is when all has passed.
    pub(super) product: PathBuf,
    /// Where its logs are when all has passed.
    pub(super) logs: PathBuf,
    /// Whether the logs were not given another place.
    logs_are_beside: bool,
    /// Whether a product that has passed is there.
    pub(super) has_passed: bool,
}

impl Places {
    /// Looks what is there; touches nothing.
    pub(super) fn of(
        request: &OfflineProductRequest,
        workdir: &Workdir,
        context: &Context,
    ) -> Places {
        let product = asked_product(request, workdir, context);
        Places {
            has_passed: has_passed(&product),
            product,
            logs: context
                .host
                .absolute(&asked_out_dir(request, workdir.path())),
            logs_are_beside: request.out_dir.is_none(),
            workdir: workdir.clone(),
        }
    }

    /// Locks the places for the whole run, and puts back what a killed run had moved
    /// away.
    pub(super) fn lock(&self) -> anyhow::Result<Vec<RunLock>> {
        let mut run_locks = vec![RunLock::new(self.workdir.path(), COMMAND)?];
        if !self.product.starts_with(self.workdir.path()) {
            run_locks.push(RunLock::new(&self.product, COMMAND)?);
        }
        for place in [&self.product, &self.logs] {
            let Some(run_lock) = run_locks
                .iter()
                .find(|run_lock| run_lock.lock().covers(place))
            else {
                continue;
            };
            if place.parent().is_some_and(Path::is_dir) {
                StagedDir::recover_stale(run_lock.lock(), place)?;
            }
        }
        self.finish_logs()?;
        Ok(run_locks)
    }

    /// Puts the logs of a product that has passed in their place, where a run was killed
    /// when only the product was in its own.
    fn finish_logs(&self) -> anyhow::Result<()> {
        let new = layout::failed(&self.logs);
        if !self.has_passed || !self.logs_are_beside || !is_dir(&new) {
            return Ok(());
        }
        // What cannot be read is of no product.
        let of = |dir: &Path| {
            let record = VerificationRecord::read(&OfflineLogs::new(dir).verification());
            record.ok().flatten()?.product_digest
        };
        let record = Product::new(&self.product).verification();
        let product = VerificationRecord::read(&record)?.and_then(|record| record.product_digest);
        if product.is_some() && of(&new) == product && of(&self.logs) != product {
            let dir_lock = DirLock::exclusive(self.workdir.path(), COMMAND)?;
            put_in_place(&dir_lock, &new, &self.logs)?;
        }
        Ok(())
    }

    /// Where the new product is made.
    pub(super) fn new_product(&self) -> PathBuf {
        match self.has_passed {
            true => layout::failed(&self.product),
            false => self.product.clone(),
        }
    }

    /// Where the logs of its verification are written. A directory that was named for them
    /// has those of the last run.
    pub(super) fn new_logs(&self) -> PathBuf {
        match self.has_passed && self.logs_are_beside {
            true => layout::failed(&self.logs),
            false => self.logs.clone(),
        }
    }

    /// What stays of a workdir that is replaced: a product in it that has passed, and
    /// the logs.
    pub(super) fn stay(&self) -> Vec<String> {
        let product = self.workdir.product().path().to_owned();
        let own_has_passed = match product == self.product {
            true => self.has_passed,
            false => has_passed(&product),
        };
        let logs = self.workdir.verification_logs();
        [
            (own_has_passed, &product),
            (own_has_passed || self.has_passed, &logs),
        ]
        .into_iter()
        .filter(|(stays, path)| *stays && is_dir(path))
        .filter_map(|(_, path)| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect()
    }

    /// Puts a product that has passed, and its logs, in their places. The product comes
    /// first: it has the record of its verification in it.
    ///
    /// # Errors
    ///
    /// When that cannot be done: the product that was there stays.
    pub(super) fn accept(&self, made: &mut MadeProduct, context: &Context) -> anyhow::Result<()> {
        for (new, place) in [
            (self.new_product(), &self.product),
            (self.new_logs(), &self.logs),
        ] {
            if new == *place {
                continue;
            }
            let locked_dir = match place.starts_with(self.workdir.path()) {
                true => self.workdir.path(),
                false => place,
            };
            let dir_lock = DirLock::exclusive(locked_dir, COMMAND)?;
            let old = put_in_place(&dir_lock, &new, place)?;
            if let Some((error, old)) = old.and_then(|old| Some((remove_dir(&old).err()?, old))) {
                context.report.warning(format_args!(
                    "what was in {} before cannot be deleted and is left in {}: {:#}",
                    place.display(),
                    old.display(),
                    error
                ));
            }
        }
        made.path.clone_from(&self.product);
        self.tell_where_the_cache_is()
    }

    /// A cache that was moved into the new product went with it.
    fn tell_where_the_cache_is(&self) -> anyhow::Result<()> {
        let cache = |product: PathBuf| Product::new(product).cache().display().to_string();
        let before = cache(self.new_product());
        match WorkdirRecord::read(&self.workdir)? {
            Some(mut record) if record.cache_moved.as_ref() == Some(&before) => {
                record.cache_moved = Some(cache(self.product.clone()));
                record.write(&self.workdir)
            }
            _ => Ok(()),
        }
    }
}

fn is_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// Whether there is a product whose attached record says that it passed. What cannot be
/// read has not.
fn has_passed(product: &Path) -> bool {
    if !is_dir(product) {
        return false;
    }
    let product = Product::new(product);
    let Ok(Some(lists)) = evidence_file::read(&product.sums(), LONGEST_LIST) else {
        return false;
    };
    let verified = Verified::read(&product, &sums::product_digest(&lists));
    matches!(verified, Ok(Verified::Passed(_)))
}
