//! Decides what a product is made of and where it goes; touches nothing. The workdir is
//! locked before: it is read here.

use std::path::Path;

use super::product_place::ProductPlace;
use super::request::{BundlePixi, COMMAND, ProductRequest};
use super::source;
use crate::commands::bundled_pixi;
use crate::commands::product_cache::{CacheChoice, CachePlan};
use crate::context::Context;
use crate::evidence::WorkdirRecord;
use crate::evidence::signature::SigningKey;
use crate::layout::{self, Product, ProjectPlace, Workdir};
use crate::project::ProjectRules;
use crate::project::generated;
use crate::project::git_version;
use crate::project::secrets::{self, SecretSearch};
use crate::replacement::{DirLock, StagedDir};
use crate::request::ProductVariable;
use crate::secret_search::Finding;
use crate::staging::Size;
use crate::untrusted_dir::UntrustedDir;

/// A product that can be made: all is decided, and nothing is touched.
pub(super) struct ProductPlan<'a> {
    pub(super) request: &'a ProductRequest,
    pub(super) workdir: Workdir,
    pub(super) place: ProjectPlace,
    pub(super) record: Option<WorkdirRecord>,
    pub(super) rules: ProjectRules,
    pub(super) cache: CachePlan,
    pub(super) target: Product,
    pub(super) signing_key: Option<SigningKey>,
    pub(super) findings: Vec<Finding>,
    /// What `envs.sh` exports.
    pub(super) variables: Vec<ProductVariable>,
    /// Whether the pixi of the build goes along.
    pub(super) bundles_pixi: bool,
    /// What the copies of the project and of the resources will take.
    pub(super) staged: Size,
    pub(super) workdir_lock: DirLock,
}

/// A workdir that nobody else changes as long as this exists.
pub(super) struct LockedWorkdir {
    workdir: Workdir,
    dir: UntrustedDir,
    lock: DirLock,
}

impl LockedWorkdir {
    /// Opens and locks it.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it has no projects; 1 when another run holds it.
    pub(super) fn open(
        request: &ProductRequest,
        context: &Context,
    ) -> anyhow::Result<LockedWorkdir> {
        let workdir = Workdir::new(context.host.absolute(&request.workdir));
        let dir = source::open(&workdir)?;
        let lock = DirLock::exclusive(workdir.path(), COMMAND)?;
        Ok(LockedWorkdir { workdir, dir, lock })
    }
}

impl<'a> ProductPlan<'a> {
    pub(super) fn new(
        request: &'a ProductRequest,
        locked: LockedWorkdir,
        context: &Context,
    ) -> anyhow::Result<ProductPlan<'a>> {
        let choices = &request.choices;
        let LockedWorkdir { workdir, dir, lock } = locked;
        let mut rules = ProjectRules::of_built(&request.excludes)?;
        let target = ProductPlace::of(choices, &workdir).require(&[], context)?;
        let signing_key = context.signing_key(&choices.signing)?;
        let search = SecretSearch::new(&request.secrets, context)?;
        let record = WorkdirRecord::read(&workdir)?;
        source::require_built(&workdir, record.as_ref(), context)?;
        let versions = record.as_ref().map(|record| &*record.git_versions);
        let versions = versions.unwrap_or_default();
        let variables = git_version::for_product(versions, &choices.variables)?;
        let name = match &request.project_name {
            Some(name) => name.clone(),
            None => source::only_project(&dir)?,
        };
        let place = match &record {
            Some(record) => record.place_of(&name),
            None => name.into(),
        };
        source::require_whole(&dir, &workdir, &place, record.as_ref())?;
        rules.stage_in_root(&place.in_root);
        let bundles_pixi = bundles_pixi(choices.bundle_pixi, &workdir, context)?;
        if choices.move_cache {
            source::require_movable(&workdir, &target, record.as_ref())?;
        }
        let cache_choice = CacheChoice {
            deep: choices.deep,
            full: choices.full_cache,
        };
        let cache = CachePlan::make(&workdir, &place, record.as_ref(), cache_choice, context)?;
        generated::warn_of_variables(&choices.variables, &place.name, record.as_ref(), context);
        let staged = workdir.staged(&place.name);
        generated::apply(
            choices.generated,
            &staged,
            &place.name,
            record.as_ref(),
            &mut rules,
            context,
        )?;
        let (findings, size) = secrets_in(search, request, &workdir, &staged, &rules, &cache)?;
        secrets::warn(&findings, context);
        if cache.original_lock.is_some() {
            rules.leave_out(layout::LOCK_FILE);
        }
        Ok(ProductPlan {
            request,
            workdir,
            place,
            record,
            rules,
            cache,
            target,
            signing_key,
            findings,
            variables,
            bundles_pixi,
            staged: size,
            workdir_lock: lock,
        })
    }

    /// Locks the place of the product, where that is outside of the workdir.
    pub(super) fn lock_output(&self) -> anyhow::Result<Option<DirLock>> {
        let target = self.target.path();
        let is_outside = !target.starts_with(self.workdir.path());
        is_outside
            .then(|| DirLock::exclusive(target, COMMAND))
            .transpose()
    }

    /// Brings what a killed run left in the place to its end.
    pub(super) fn recover(&self, place: &DirLock, context: &Context) -> anyhow::Result<()> {
        if StagedDir::recover_stale(place, self.target.path())? > 0 {
            let choices = &self.request.choices;
            ProductPlace::of(choices, &self.workdir).require(&[], context)?;
        }
        Ok(())
    }
}

/// Whether the pixi of the build goes along.
///
/// # Errors
///
/// Exit code 2 when it must, and the workdir has none.
fn bundles_pixi(asked: BundlePixi, workdir: &Workdir, context: &Context) -> anyhow::Result<bool> {
    let bundles = asked.is_wanted_of(workdir);
    if bundles {
        bundled_pixi::require(workdir, context)?;
    } else if asked == BundlePixi::WherePresent {
        context.report.warning("the build kept no copy of pixi, so the product includes none: the target needs pixi of the same version");
    }
    Ok(bundles)
}

/// What looks like a secret in what goes along, and how much project and resources are.
///
/// # Errors
///
/// Exit code 2 when there is one, and none is allowed.
fn secrets_in(
    mut search: SecretSearch,
    request: &ProductRequest,
    workdir: &Workdir,
    staged: &Path,
    rules: &ProjectRules,
    cache: &CachePlan,
) -> anyhow::Result<(Vec<Finding>, Size)> {
    let mut size = search.project(staged, rules).size;
    size += search.resources(&workdir.resources())?.size;
    search.variables(&request.choices.variables);
    if search.is_on() {
        search.cache(&workdir.cache(), &cache.pointers()?);
    }
    let findings = search.findings();
    secrets::refuse(&request.secrets, &findings)?;
    Ok((findings, size))
}
