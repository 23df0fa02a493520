//! Which environments of a lock are built, and which of them is verified.

use crate::commands::build::Build;
use crate::commands::new_workdir;
use crate::context::Context;
use crate::layout::ProjectPlace;
use crate::packages::{LocalSources, Lock, Subdir};
use crate::project::cuda;
use crate::project::environments::{self, ResolvedEnvironments};
use crate::project::lock_fit;
use crate::project::lock_use::LockUse;
use crate::project::manifest_environments::ManifestEnvironments;
use crate::project::target_builds::{self, TargetBuild};
use crate::request::{BuildRequest, ContainerVariable, LockOption};

/// A lock, and the environments of it that are for the container's platform.
pub(crate) struct EnvironmentSelection {
    pub(crate) lock: Option<Lock>,
    pub(crate) resolved: ResolvedEnvironments,
    /// The environment that is verified.
    pub(crate) verified: String,
    /// The subdir of what the container is for, where it is known.
    pub(crate) platform: Option<Subdir>,
}

impl EnvironmentSelection {
    /// Chooses what was asked for.
    ///
    /// # Errors
    ///
    /// Exit code 2 when the project does not have it.
    pub(crate) fn new(
        request: &BuildRequest,
        lock: Option<Lock>,
        platform: Option<Subdir>,
        manifest: &ManifestEnvironments,
    ) -> anyhow::Result<EnvironmentSelection> {
        let resolved =
            environments::resolve(&request.environments, lock.as_ref(), platform, manifest)?;
        let asked = request.verify_environment.as_ref();
        let verified =
            environments::verification_environment(asked, &resolved.environments)?.to_owned();
        Ok(EnvironmentSelection {
            lock,
            resolved,
            verified,
            platform,
        })
    }

    /// Requires that lock and manifest have the environments for this platform.
    ///
    /// # Errors
    ///
    /// Exit code 2 when they do not.
    pub(crate) fn require_that_fits(
        &self,
        request: &BuildRequest,
        platform: Option<Subdir>,
        local: &LocalSources,
        manifest: &ManifestEnvironments,
    ) -> anyhow::Result<()> {
        lock_fit::require_lock_that_fits(
            request.lock,
            self.lock.as_ref(),
            &self.resolved.environments,
            platform,
            local,
            manifest,
        )
    }

    /// The build of them.
    pub(crate) fn build<'a>(
        &'a self,
        request: &'a BuildRequest,
        project: &'a ProjectPlace,
        variables: &'a [ContainerVariable],
    ) -> Build<'a> {
        let environments = &self.resolved.environments;
        let lock = self.lock.as_ref();
        Build {
            request,
            project,
            lock_use: LockUse::of(lock, request.lock),
            // What is in the cache already is not fetched, and a new lock not known.
            needs_git: !request.reuse_cache
                && request.lock != LockOption::Update
                && lock.is_some_and(|lock| lock.needs_git(environments)),
            builds_conda_packages: lock
                .is_some_and(|lock| lock.builds_conda_packages(environments)),
            local_paths: lock.map_or_else(Default::default, Lock::local_paths),
            own_lock: lock.and_then(Lock::own_lock),
            environments,
            verified: &self.verified,
            access: None,
            variables,
        }
    }

    /// Says what follows from a missing lock, and from one that is installed as it is.
    pub(crate) fn warn(&self, context: &Context) {
        if self.lock.is_none() {
            new_workdir::warn_without_lock(context);
        }
        if self.lock.as_ref().and_then(Lock::own_lock).is_some() {
            context.report.note("pixi.lock has absolute paths of Python packages, which are staged: the build and the product get it with relative paths, installed as it is (--frozen), without a comparison with the manifest");
        }
    }

    /// Names the packages of the environments that are built wherever the product is
    /// installed.
    pub(crate) fn warn_of_builds(&self, builds: &[TargetBuild], context: &Context) {
        let (lock, environments) = (self.lock.as_ref(), &self.resolved.environments);
        target_builds::say(builds, lock, environments, self.platform, context);
    }

    /// Says which environments ask for a GPU that the container will not have.
    pub(crate) fn warn_of_cuda(&self, request: &BuildRequest, context: &Context) {
        if let Some(lock) = &self.lock {
            cuda::warn_of_cuda(
                lock,
                &self.resolved.environments,
                self.platform,
                &request.variables,
                context,
            );
        }
    }
}
