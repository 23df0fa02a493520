//! A project before it is staged: what is copied of it, and what its build depends on. One
//! procedure for a project on this machine and for one in a container.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::evidence::{GitVersion, Sha256Digest};
use crate::layout;
use crate::packages::{LocalSources, Lock};
use crate::project::ProjectRules;
use crate::project::dirs;
use crate::project::fetching_tasks::FetchingTasks;
use crate::project::git_version;
use crate::project::lock_fit;
use crate::project::manifest_environments::ManifestEnvironments;
use crate::project::project_manifest::ProjectManifest;
use crate::project::secrets::SecretSearch;
use crate::project::source_tree::SourceTree;
use crate::project::target_builds::{self, TargetBuild};
use crate::request::{LockOption, SourcePlace, SourceRoot};
use crate::secret_search::Finding;
use crate::staging::{Size, Survey};

/// A project that pixi can use, and the files of it that are staged.
pub(crate) struct LoadedProject {
    pub(crate) source: SourceTree,
    pub(crate) manifest: ProjectManifest,
    /// The lock that is staged.
    pub(crate) lock: Option<Lock>,
    pub(crate) local: LocalSources,
    pub(crate) rules: ProjectRules,
}

impl LoadedProject {
    /// Reads the project in `dir`, an absolute path on `place`, and chooses by `rules` and the
    /// source root what is staged.
    ///
    /// # Errors
    ///
    /// Exit code 2 for a project that cannot be staged, or not with this lock.
    pub(crate) fn read(
        place: SourcePlace,
        dir: &Path,
        root: Option<&SourceRoot>,
        mut rules: ProjectRules,
        lock_option: LockOption,
        context: &Context,
    ) -> anyhow::Result<LoadedProject> {
        dirs::require_dir(place.project_option(), dir)?;
        let source = SourceTree::find(place, dir, root, context)?;
        let manifest = ProjectManifest::require(dir)?;
        manifest.require_usable()?;
        manifest.require_find_links_elsewhere(dir)?;
        let lock = dir.join(layout::LOCK_FILE);
        // One that cannot be read is no reason to stage anything.
        let lock = context.locks.read_through_links(&lock)?;
        let local = source.local(lock.as_ref());
        let lock = lock_fit::to_install(lock, lock_option, &local, source.dir(), &context.locks)?;
        source.choose(&mut rules, root, lock.as_ref(), &local.channels)?;
        Ok(LoadedProject {
            source,
            manifest,
            lock,
            local,
            rules,
        })
    }

    /// Surveys what is staged, and searches it for secrets.
    ///
    /// # Errors
    ///
    /// When the resources cannot be searched.
    pub(crate) fn inspect(
        &self,
        resources: Option<&Path>,
        mut search: SecretSearch,
        context: &Context,
    ) -> anyhow::Result<ProjectInspection> {
        let (dir, lock) = (self.source.project(), self.lock.as_ref());
        let project_survey = search.project(self.source.dir(), &self.rules);
        let resources_survey = match resources {
            Some(resources) => search.resources(resources)?,
            None => Survey::default(),
        };
        Ok(ProjectInspection {
            manifest: self.manifest.name.to_owned(),
            manifest_digest: self.manifest.digest(),
            environments: self.manifest.environments().clone(),
            source: self.source.clone(),
            local: self.local.clone(),
            left: self.source.left(&self.rules),
            secrets: search.findings(),
            resources: resources.is_some(),
            git_versions: git_version::find(&self.source, lock, context),
            tasks: FetchingTasks::find(&self.manifest, &dir),
            builds: target_builds::find(lock, &dir, &self.local),
            project_survey,
            resources_survey,
        })
    }
}

/// What is known of a project before it is staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProjectInspection {
    /// The name of the project's manifest.
    pub(crate) manifest: String,
    pub(crate) manifest_digest: Sha256Digest,
    /// The environments of the manifest.
    pub(crate) environments: ManifestEnvironments,
    pub(crate) source: SourceTree,
    /// What goes along of the machine's own directories.
    pub(crate) local: LocalSources,
    /// What of a source root is left out.
    pub(crate) left: Option<Size>,
    /// What looks like a secret; none where none is searched for.
    pub(crate) secrets: Vec<Finding>,
    /// Whether the resources are a directory.
    pub(crate) resources: bool,
    /// The versions of the project's packages that come from git.
    pub(crate) git_versions: Vec<GitVersion>,
    /// The tasks that fetch something when they run.
    pub(crate) tasks: FetchingTasks,
    /// The packages that are built wherever the product is installed.
    pub(crate) builds: Vec<TargetBuild>,
    /// What of the project would be copied.
    pub(crate) project_survey: Survey,
    /// What of the resources would be.
    pub(crate) resources_survey: Survey,
}
