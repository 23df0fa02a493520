//! What of a workdir's package cache goes into the product, and whether it is
//! all there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::commands::built_channel::of_build;
use crate::commands::new_workdir;
use crate::context::Context;
use crate::evidence::WorkdirRecord;
use crate::failure::Failure;
use crate::layout::{self, ContainerWorkdir, PathInRoot, ProjectPlace, Workdir};
use crate::packages::{
    self, Backend, BuiltPackage, BuiltPackages, CacheMove, CondaCache, CopiedCache, Delivery,
    LocalSources, Lock, PythonCache, Requirements, Subdir, machine, subdir_of_image,
};
use crate::parallel;
use crate::product::Facts;
use crate::project::build_backend;
use crate::project::environments;
use crate::project::lock_fit;
use crate::project::project_manifest::ProjectManifest;
use crate::project::workspace_platforms;
use crate::request::DEFAULT_ENVIRONMENT;
use crate::staging::{CopyOptions, Size};

/// How many problems of a cache are shown.
const SHOWN: usize = 40;

/// The plan for a product's cache, made before anything is written.
pub(crate) struct CachePlan {
    /// The workdir's package cache.
    cache: PathBuf,
    /// Where it was filled, where that is known.
    origin: Option<PathBuf>,
    /// Whether it is carried whole.
    full: bool,
    /// The lock of the project.
    pub(crate) lock: Option<Lock>,
    /// The project's own lock, where the product gets another one.
    pub(crate) original_lock: Option<Lock>,
    /// What stands in the product's lock for source packages, and what it was built with.
    pub(crate) built: Vec<BuiltPackage>,
    backends: Vec<Backend>,
    /// The environments that the product installs.
    pub(crate) environments: Vec<String>,
    /// The platform that they are for, where it is known.
    pub(crate) platform: Option<Subdir>,
    /// What they need, where that is known.
    pub(crate) need: Option<Requirements>,
    /// How many of the packages are known by name only.
    pub(crate) unhashed: UnhashedCounts,
    /// The name in the lock of the platform that pixi chose.
    chosen_name: Option<String>,
    /// What that one asks of a machine.
    asked_by_platform: Vec<String>,
    /// The platforms that pixi takes first where the machine has what they ask for, in
    /// the form of [`Facts::preferred_platforms`].
    preferred_platforms: Vec<String>,
}

/// What of a cache is carried, and how closely it is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CacheChoice {
    /// Whether every file of every needed package is read and compared.
    pub(crate) deep: bool,
    /// Whether all is carried.
    pub(crate) full: bool,
}

/// How many needed packages have no checksum and are matched by name only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct UnhashedCounts {
    /// Wheels of which uv kept no sha256.
    pub(crate) wheels_by_name: Option<u64>,
    /// Conda packages without checksums of their files.
    pub(crate) conda_by_name: Option<u64>,
}

impl CachePlan {
    /// Asks the lock what the recorded environments need, and looks whether the
    /// cache has it.
    ///
    /// # Errors
    ///
    /// Exit code 2 when the lock says that it cannot work offline, 1 when
    /// something is missing or, with `deep`, damaged: each is named.
    pub(crate) fn make(
        workdir: &Workdir,
        place: &ProjectPlace,
        record: Option<&WorkdirRecord>,
        choice: CacheChoice,
        context: &Context,
    ) -> anyhow::Result<CachePlan> {
        let project = workdir.project(place);
        let file = project.join(layout::LOCK_FILE);
        let lock = context.locks.read(&file)?;
        let environments = record.map_or_else(
            || vec![DEFAULT_ENVIRONMENT.to_owned()],
            |record| record.environments.clone(),
        );
        environments::require_names(&environments, "workdir.json")?;
        let mut plan = CachePlan {
            cache: workdir.cache(),
            origin: record.map(|record| ContainerWorkdir::cache_of(&record.container_workdir)),
            full: choice.full,
            platform: None,
            need: None,
            unhashed: UnhashedCounts::default(),
            lock,
            original_lock: None,
            built: Vec::new(),
            backends: Vec::new(),
            environments,
            chosen_name: None,
            asked_by_platform: Vec::new(),
            preferred_platforms: Vec::new(),
        };
        if let Some(record) = record {
            plan.choose_platforms(record, &project);
            plan.original_lock = new_workdir::own_lock(workdir, record, context)?;
        }
        let Some(lock) = &plan.lock else {
            context.report.warning("the project has no pixi.lock, so this product cannot be installed: run `pixi lock` in the project and build again");
            return Ok(plan);
        };
        let Some(platform) = platform(lock, &plan.environments, record) else {
            require_no_sources(lock, &plan.environments)?;
            context.report.note("the platform of the build is not known and pixi.lock has several: the package cache is copied whole and unchecked");
            return Ok(plan);
        };
        plan.platform = Some(platform);
        let mut need = plan.require_need(platform, workdir, place)?;
        if !need.sources.is_empty() {
            plan.deliver_built(platform, record, workdir, context)?;
            need = plan.require_need(platform, workdir, place)?;
        }
        if let Some(source) = need.sources.first() {
            anyhow::bail!("{} is left in the lock as a source package", source.key);
        }
        plan.unhashed = check(&workdir.cache(), &need, choice.deep)?;
        plan.say_tied(choice.deep, context);
        plan.need = Some(need);
        Ok(plan)
    }

    /// What the environments need by the lock.
    fn require_need(
        &self,
        platform: Subdir,
        workdir: &Workdir,
        place: &ProjectPlace,
    ) -> anyhow::Result<Requirements> {
        let lock = self.lock.as_ref().context("there is no lock")?;
        let local = LocalSources::of(lock, &workdir.staged(&place.name), &place.in_root);
        let need = lock_fit::require_installable(lock, &self.environments, platform, &local)?;
        Ok(need.in_project(&workdir.project(place)))
    }

    /// Puts what pixi built from source in the place of what it was built from.
    ///
    /// # Errors
    ///
    /// With each source package that the build left nothing of.
    fn deliver_built(
        &mut self,
        platform: Subdir,
        record: Option<&WorkdirRecord>,
        workdir: &Workdir,
        context: &Context,
    ) -> anyhow::Result<()> {
        let lock = self.lock.as_ref().context("there is no lock")?;
        let lists = lock.first_platforms(&self.environments, platform);
        let built = BuiltPackages::read(&of_build(workdir, workdir.built_packages()))?;
        let cache = CondaCache::new(&workdir.cache());
        let delivered = match built.deliver(lock, &lists, platform, &cache, &context.locks)? {
            Delivery::AsLocked => return Ok(()),
            Delivery::Replaced(delivered) => delivered,
            Delivery::Unusable(problems) => {
                return Err(Failure::general(format!(
                    "the packages that pixi built from source cannot be packed; create the workdir again, and see {}:\n  {}",
                    workdir.install_log().display(),
                    problems.join("\n  ")
                )));
            }
        };
        let names = record.map(WorkdirRecord::platform_names);
        let chosen = delivered.lock.choosing(names.into_iter().flatten());
        let before = self.lock.replace(chosen);
        self.original_lock = self.original_lock.take().or(before);
        self.built = delivered.built;
        self.backends = built.backends().to_vec();
        Ok(())
    }

    /// Keeps of the lock the platforms that pixi chose, and what a target is to compare.
    fn choose_platforms(&mut self, record: &WorkdirRecord, project: &Path) {
        let Some(lock) = &self.lock else {
            return;
        };
        let first = self.environments.iter().find_map(|environment| {
            let name = &record.platforms.get(environment)?.name;
            Some((environment, lock.platform(environment, name)?))
        });
        if let Some((environment, chosen)) = first {
            self.chosen_name = Some(chosen.name.clone());
            self.asked_by_platform = chosen.requirements();
            // What a container made of it may lead anywhere.
            let manifest = ProjectManifest::find(project).filter(|found| !found.file.is_symlink());
            let workspace = manifest.as_ref().and_then(ProjectManifest::platforms);
            self.preferred_platforms = workspace.map_or_else(Vec::new, |workspace| {
                workspace_platforms::preferred(lock, environment, chosen, workspace)
            });
        }
        self.lock = Some(lock.choosing(record.platform_names()));
    }

    /// What of the needed packages decides what is carried; all is when `None`.
    fn included(&self) -> Option<&Requirements> {
        self.need.as_ref().filter(|_| !self.full)
    }

    /// Copies what is carried of the cache.
    pub(crate) fn copy(&self, target: &Path, options: &CopyOptions) -> anyhow::Result<CopiedCache> {
        let origin = self.origin.as_deref();
        packages::copy_cache(&self.cache, target, self.included(), origin, options)
    }

    /// Prepares the cache to be moved into the product as it is there.
    pub(crate) fn prepare_move(&self) -> anyhow::Result<(CacheMove, CopiedCache)> {
        CacheMove::prepare(&self.cache, self.included(), self.origin.as_deref())
    }

    /// The small files of the cache that are carried and tell of requests.
    pub(crate) fn pointers(&self) -> anyhow::Result<Vec<PathBuf>> {
        packages::pointers(&self.cache, self.included())
    }

    /// What the copy of the cache will take.
    pub(crate) fn size(&self) -> Size {
        packages::size(&self.cache, self.included(), self.origin.as_deref())
    }

    /// What a source package of the project at `in_root` below `top` was built with, if known.
    pub(crate) fn backend_of(
        &self,
        built: &BuiltPackage,
        top: &Path,
        in_root: &PathInRoot,
    ) -> Option<Backend> {
        let Some(name) = build_backend::of(top, in_root, &built.source.id.source) else {
            let [only] = &self.backends[..] else {
                return None;
            };
            return Some(only.clone());
        };
        let mut known = self.backends.iter().filter(|backend| backend.name == name);
        let version = match (known.next(), known.next()) {
            (Some(only), None) => only.version.clone(),
            _ => None,
        };
        Some(Backend { name, version })
    }

    fn say_tied(&self, deep: bool, context: &Context) {
        if let Some(count @ 1..) = self.unhashed.conda_by_name
            && deep
        {
            context.report.note(format_args!(
                "--deep compared the files of {count} conda packages by name only: they are older than info/paths.json, and have no checksums"
            ));
        }
    }

    /// What the product's own scripts compare at the target.
    pub(crate) fn facts(&self, record: Option<&WorkdirRecord>, carried: &CopiedCache) -> Facts {
        let need = self.need.as_ref();
        Facts {
            below_root: None,
            environments: self.environments.clone(),
            pixi: record
                .and_then(WorkdirRecord::pixi_version)
                .map(str::to_owned),
            lock_differs: self.original_lock.is_some(),
            lock_version: self.lock.as_ref().map(|lock| lock.version().into()),
            has_python_packages: need.is_some_and(|need| !need.python.is_empty()),
            // The wheel built of a repository was found whole in the cache, and an
            // install that finds it does not call git (seen with pixi 0.77.0).
            needs_git: false,
            architecture: self.platform.and_then(machine).map(str::to_owned),
            glibc: need.and_then(Requirements::glibc),
            requirements_known: need.is_some(),
            tested: record.map_or_else(Vec::new, WorkdirRecord::tested),
            platform_name: self
                .chosen_name
                .clone()
                .or_else(|| Some(self.platform?.to_string())),
            virtual_packages: need.map_or_else(Vec::new, |need| {
                let mut asked: BTreeSet<String> = need
                    .virtual_packages()
                    .into_iter()
                    .map(str::to_owned)
                    .collect();
                asked.extend(self.asked_by_platform.iter().cloned());
                asked.into_iter().collect()
            }),
            preferred_platforms: self.preferred_platforms.clone(),
            overrides: record.map_or_else(Default::default, |record| record.overrides.clone()),
            install_bytes: Some(carried.bytes),
            install_entries: Some(carried.entries),
            bundled_pixi: false,
            pixi_linker: None,
            carries_manifest: true,
        }
    }
}

/// Requires that the environments have no source packages, whose places in the lock depend
/// on the platform.
fn require_no_sources(lock: &Lock, environments: &[String]) -> anyhow::Result<()> {
    if lock.builds_conda_packages(environments) {
        return Err(Failure::usage(
            "pixi.lock has source packages and several platforms, and the one that the workdir was built for is not known; create the workdir again",
        ));
    }
    Ok(())
}

/// The platform that the cache was filled for: that of the image, else the only
/// one that the lock has.
fn platform(
    lock: &Lock,
    environments: &[String],
    record: Option<&WorkdirRecord>,
) -> Option<Subdir> {
    let image = record.and_then(|record| record.image.as_ref());
    if let Some(subdir) = image.and_then(|image| subdir_of_image(&image.platform)) {
        return Some(subdir);
    }
    let mut platforms = lock.platforms(environments.first()?)?;
    let only = platforms.next()?;
    platforms.next().is_none().then_some(only.subdir)
}

/// Looks whether a cache has what is needed.
fn check(cache: &Path, need: &Requirements, deep: bool) -> anyhow::Result<UnhashedCounts> {
    let conda = CondaCache::new(cache);
    let stems = need.conda.iter().map(|package| package.stem.clone());
    if let Some(lock) = conda
        .held_by_another(stems)
        .or_else(|| PythonCache::held_by_another(cache))
    {
        return Err(Failure::general(format!(
            "another program is writing the package cache: it holds {}; wait until it is done",
            lock.display()
        )));
    }
    let mut problems =
        parallel::par_map(&need.conda, |package| conda.problems(package, deep)).concat();
    let mut unhashed = UnhashedCounts {
        wheels_by_name: Some(0),
        conda_by_name: Some(conda.without_checksums(need)),
    };
    if !need.python.is_empty() {
        let python = PythonCache::read(cache);
        unhashed.wheels_by_name = Some(python.matched_by_name(need));
        let found = parallel::par_map(&need.python, |package| python.problems(need, package, deep));
        problems.extend(found.into_iter().flatten());
    }
    if problems.is_empty() {
        return Ok(unhashed);
    }
    let more = problems.len().saturating_sub(SHOWN);
    problems.truncate(SHOWN);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    Err(Failure::general(format!(
        "the package cache {} lacks what pixi.lock needs; create the workdir again:\n  {}",
        cache.display(),
        problems.join("\n  ")
    )))
}
