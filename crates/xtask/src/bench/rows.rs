//! The rows of the table: what is measured, against what, and how fast it must be.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use duct::cmd;
use pixi_offline::layout::DEFAULT_EXCLUDES;
use pixi_offline::replacement::remove_folder;
use pixi_offline::staging::{HashPolicy, Rules, scan_tree};

use super::place::{FileSystem, Place};
use super::race::{Runner, race};
use super::tree::FILES_IN_PACKAGE;

/// A row of the page.
#[derive(Debug, Clone)]
pub struct Row {
    /// The work.
    pub work: String,
    /// What it is measured against.
    pub against: String,
    pub ours: Duration,
    pub peer: Duration,
    /// At most this part of the peer's time.
    pub target: f64,
    /// The limit that this work cannot be faster than.
    pub bound: Option<&'static str>,
}

impl Row {
    /// Our time as a part of the peer's.
    pub fn ratio(&self) -> f64 {
        self.ours.as_secs_f64() / self.peer.as_secs_f64()
    }

    /// Whether it is as fast as it must be.
    pub fn met(&self) -> bool {
        self.ratio() <= self.target
    }
}

/// Bringing the bytes across, without anything else.
const ONE_FILE: &str = "writing its bytes into one file, `cat` of every file";

/// Reading and hashing, without anything else.
const DIGESTS: &str = "the same digests with the processors' own instructions, by us";

/// Bytes of a stream out of a container, and no files.
pub const STREAM: &str = "as many bytes through `docker exec`, `cat` of one file to null";

/// Something that bounds what can be had.
#[derive(Debug, Clone)]
pub struct Limit {
    pub what: &'static str,
    pub taken: Duration,
}

/// What was measured on one file system.
pub struct Measured {
    pub place: String,
    /// The tree, for people.
    pub tree: String,
    pub rows: Vec<Row>,
    pub limits: Vec<Limit>,
}

/// The words of a command.
pub fn words<const N: usize>(words: [&dyn AsRef<OsStr>; N]) -> Vec<OsString> {
    words.map(|word| word.as_ref().to_owned()).into()
}

/// What is in a workdir, for people.
pub fn tree(workdir: &Path) -> anyhow::Result<String> {
    let seen = scan_tree(workdir, &Rules::new(), &|_, _| HashPolicy::Skip)?;
    let kept = seen.kept;
    Ok(format!(
        "{} entries with {:.2} GB",
        kept.entries,
        kept.bytes as f64 / 1e9
    ))
}

/// The programs that are measured: the folder of their release builds.
pub struct Programs(pub PathBuf);

impl Programs {
    /// A part of the commands, in a process of its own; see [`super::part`].
    pub fn part(&self, more: &[&dyn AsRef<OsStr>]) -> Vec<OsString> {
        let mut all = words([&self.0.join("xtask"), &"bench-part"]);
        all.extend(more.iter().map(|word| word.as_ref().to_owned()));
        all
    }
}

/// A file system with the tree on it.
pub struct Ground<'a> {
    pub programs: &'a Programs,
    pub place: &'a Place,
    pub file_system: FileSystem,
    pub files: u64,
    pub rounds: usize,
    /// Whether nothing but the checks of a product is measured.
    pub only_checks: bool,
}

impl Ground<'_> {
    /// Measures all that this file system can have.
    pub fn measure(&self) -> anyhow::Result<Measured> {
        self.make(&self.workdir(), "as-in-caches")?;
        let mut rows = Vec::new();
        if !self.only_checks {
            rows.push(self.staging()?);
            rows.extend(self.products()?);
        }
        self.make_product(&self.workdir())?;
        if !self.only_checks {
            rows.push(self.product_in_memory()?);
        }
        rows.push(self.check()?);
        rows.push(self.check_at_target(&self.made(), "", 1.5)?);
        if self.file_system == FileSystem::Tmpfs {
            rows.extend(self.checks_of_tiny_files()?);
        }
        Ok(Measured {
            place: self.place.name.clone(),
            tree: tree(&self.workdir())?,
            rows,
            limits: if self.only_checks {
                Vec::new()
            } else {
                self.limits()?
            },
        })
    }

    fn make(&self, workdir: &Path, files: &str) -> anyhow::Result<()> {
        let packages = (self.files / FILES_IN_PACKAGE).to_string();
        let make = self
            .programs
            .part(&[&"make", &workdir, &packages, &"--files", &files]);
        cmd(&make[0], &make[1..]).stdout_null().run()?;
        Ok(())
    }

    fn workdir(&self) -> PathBuf {
        self.place.folder.join("W")
    }

    fn cache(&self) -> PathBuf {
        self.workdir().join("pixi-cache")
    }

    fn made(&self) -> PathBuf {
        self.workdir().join("product")
    }

    fn target(&self) -> PathBuf {
        self.place.folder.join("target")
    }

    fn one_file(&self) -> PathBuf {
        self.place.folder.join("one-file")
    }

    fn without_one_file(&self) -> anyhow::Result<()> {
        match fs::remove_file(self.one_file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The folder with a slash at its end, which makes rsync copy what is in it.
    fn inside(folder: &Path) -> PathBuf {
        folder.join("")
    }

    /// Where a file system writes its blocks later, both sides wait for that, as a
    /// product does before it takes its place; in the same shell, so that it costs both
    /// the same.
    fn written(&self, command: Vec<OsString>) -> Vec<OsString> {
        if self.file_system == FileSystem::Tmpfs {
            return command;
        }
        let script = "folder=$1; shift; \"$@\" && sync -f \"$folder\"";
        let mut all = words([&"sh", &"-c", &script, &"sh", &self.place.folder]);
        all.extend(command);
        all
    }

    /// What a side of a race is given before each run: nothing where it writes.
    fn clean(&self) -> anyhow::Result<()> {
        remove_folder(&self.target())?;
        if self.file_system != FileSystem::Tmpfs {
            cmd!("sync", "-f", &self.place.folder).run()?;
        }
        Ok(())
    }

    fn rsync(&self, more: &[OsString]) -> Runner<'_> {
        let mut command = words([&"rsync", &"-a"]);
        command.extend_from_slice(more);
        command.extend(words([
            &Self::inside(&self.cache()),
            &Self::inside(&self.target()),
        ]));
        Runner::new("rsync -a", || self.clean(), self.written(command))
    }

    fn contest(
        &self,
        work: &str,
        ours: &Runner<'_>,
        peer: &Runner<'_>,
        target: f64,
        bound: &'static str,
    ) -> anyhow::Result<Row> {
        eprintln!("{work}, on {}", self.place.name);
        let taken = race(&[ours, peer], self.rounds)?;
        Ok(Row {
            work: work.to_owned(),
            against: peer.name.clone(),
            ours: taken[0],
            peer: taken[1],
            target,
            bound: Some(bound),
        })
    }

    /// The target of a work that writes all bytes: where the disk decides, rsync's time.
    fn writing(&self, target: f64) -> f64 {
        if self.file_system == FileSystem::Disk {
            1.0
        } else {
            target
        }
    }

    fn staging(&self) -> anyhow::Result<Row> {
        let stage = self
            .programs
            .part(&[&"stage", &self.cache(), &self.target()]);
        let ours = Runner::new("staging", || self.clean(), self.written(stage));
        let excludes: Vec<OsString> = DEFAULT_EXCLUDES
            .iter()
            .map(|pattern| format!("--exclude={pattern}").into())
            .collect();
        let work = "staging a project";
        let row = self.contest(
            work,
            &ours,
            &self.rsync(&excludes),
            self.writing(0.5),
            ONE_FILE,
        )?;
        self.clean()?;
        Ok(row)
    }

    /// Makes the product in each way, all of them and their peer in turn in one race:
    /// the peer takes the longest by far, and is the same for all.
    fn products(&self) -> anyhow::Result<Vec<Row>> {
        let mut ways = vec![vec!["--link-mode", "copy"]];
        if self.file_system.clones() {
            ways.push(vec!["--link-mode", "clone"]);
        }
        ways.extend([vec!["--link-mode", "hardlink"], vec!["--move-cache"]]);
        // What was moved into the last product is taken back.
        let before = || {
            if !self.cache().exists() {
                fs::rename(self.made().join("pkg-cache"), self.cache())?;
            }
            // The run measures the making, not the deleting of an old one.
            remove_folder(&self.made())?;
            self.clean()
        };
        let program = self.programs.0.join("make-archive-ready-product");
        let mut runners: Vec<Runner<'_>> = ways
            .iter()
            .map(|way| {
                let mut command = words([&program, &"--workdir", &self.workdir()]);
                command.extend(way.iter().map(OsString::from));
                Runner::new(&way.join(" "), before, self.written(command))
            })
            .collect();
        let mut peer = self.rsync(&[]);
        peer.before = Box::new(before);
        let against = peer.name.clone();
        runners.push(peer);
        eprintln!("product, on {}", self.place.name);
        let taken = race(&runners.iter().collect::<Vec<_>>(), self.rounds)?;
        before()?;
        let row = |(way, ours): (&Vec<&str>, &Duration)| {
            let (target, bound) = if way.contains(&"copy") {
                (self.writing(0.7), ONE_FILE)
            } else {
                (0.25, DIGESTS)
            };
            Row {
                work: format!("product with lists and digests, `{}`", way.join(" ")),
                against: against.clone(),
                ours: *ours,
                peer: taken[taken.len() - 1],
                target,
                bound: Some(bound),
            }
        };
        Ok(ways.iter().zip(&taken).map(row).collect())
    }

    fn make_product(&self, workdir: &Path) -> anyhow::Result<()> {
        let program = self.programs.0.join("make-archive-ready-product");
        cmd!(program, "--workdir", workdir)
            .stdout_null()
            .stderr_null()
            .run()?;
        Ok(())
    }

    /// The product's way into the verification container: onto a file system in memory.
    fn product_in_memory(&self) -> anyhow::Result<Row> {
        let memory = FileSystem::Tmpfs.place(self.files * 40_000)?;
        let target = memory.folder.join("product");
        let clean = || Ok(remove_folder(&target)?);
        let ours = Runner::new(
            "our copy",
            clean,
            self.programs.part(&[&"stage", &self.made(), &target]),
        );
        let peer = Runner::new("cp -a", clean, words([&"cp", &"-a", &self.made(), &target]));
        self.contest(
            "product onto a tmpfs, as the verification container has it",
            &ours,
            &peer,
            0.7,
            ONE_FILE,
        )
    }

    fn check(&self) -> anyhow::Result<Row> {
        let product = self.made();
        let nothing = || Ok(());
        let ours = Runner::new(
            "our check",
            nothing,
            self.programs.part(&[&"check", &product]),
        );
        let script = "cd \"$1\" && split -n \"l/$(nproc)\" SHA256SUMS \"$2/part-\" && \
                      ls \"$2\"/part-* | xargs -P \"$(nproc)\" -n 1 sha256sum -c --quiet";
        let parts = tempfile::tempdir()?;
        let peer = Runner::new(
            "sha256sum -c on as many processors",
            nothing,
            words([&"sh", &"-c", &script, &"sh", &product, &parts.path()]),
        );
        self.contest("checking a product, every byte", &ours, &peer, 0.6, DIGESTS)
    }

    /// `--check` of the product's own script, which takes nothing but the tools of a
    /// target: as much work as these tools have, and the comparison of the lists.
    fn check_at_target(&self, product: &Path, which: &str, target: f64) -> anyhow::Result<Row> {
        let nothing = || Ok(());
        // What differs is what the check is to find: it ends with 2 then.
        let script = "\"$@\" || [ $? = 2 ]";
        let bootstrap = product.join("bootstrap-project.sh");
        // A pixi is looked for, and started for its version.
        let pixi = tempfile::tempdir()?;
        let program = pixi.path().join("pixi");
        fs::write(&program, "#!/bin/sh\necho 'pixi 0.77.0'\n")?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        let ours = Runner::new(
            "bootstrap-project.sh --check",
            nothing,
            words([
                &"sh", &"-c", &script, &"sh", &bootstrap, &"--pixi", &program, &"--check",
            ]),
        );
        let script =
            "cd \"$1\" && find . -printf '%P %y %m %s %l\\n' && sha256sum -c --quiet SHA256SUMS";
        let peer = Runner::new(
            "find -printf and sha256sum -c",
            nothing,
            words([&"sh", &"-c", &script, &"sh", &product]),
        );
        let work =
            format!("checking a product at the target, `bootstrap-project.sh --check`{which}");
        self.contest(&work, &ours, &peer, target, DIGESTS)
    }

    /// `--check` where its own work is the most, beside little to read.
    fn checks_of_tiny_files(&self) -> anyhow::Result<[Row; 2]> {
        let workdir = self.place.folder.join("tiny");
        self.make(&workdir, "tiny-with-odd-names")?;
        self.make_product(&workdir)?;
        let product = workdir.join("product");
        let odd =
            self.check_at_target(&product, ", files of 100 bytes, half with odd names", 1.5)?;
        cmd!("chmod", "-R", "g+w", &product).run()?;
        let modes =
            self.check_at_target(&product, ", the same, and the mode of each differs", 6.0)?;
        remove_folder(&workdir)?;
        Ok([odd, modes])
    }

    fn limits(&self) -> anyhow::Result<Vec<Limit>> {
        eprintln!("limits, on {}", self.place.name);
        let cache = self.cache();
        let nothing = || Ok(());
        let per_file = |program: &str| {
            let script = format!(
                "find \"$1\" -type f -print0 | xargs -0 -P \"$(nproc)\" -n 500 {program} >/dev/null"
            );
            words([&"sh", &"-c", &script, &"sh", &cache])
        };
        let linked = Runner::new(
            "hard-linking it (cp -al)",
            || self.clean(),
            words([&"cp", &"-al", &cache, &self.target()]),
        );
        let read = Runner::new("reading it (cat to null)", nothing, per_file("cat"));
        let summed = Runner::new("sha256sum over it", nothing, per_file("sha256sum"));
        let hashed = Runner::new(
            "sha256 by us",
            nothing,
            self.programs.part(&[&"hash", &cache]),
        );
        let script = "find \"$1\" -type f -print0 | xargs -0 cat >\"$2\"";
        let joined = words([&"sh", &"-c", &script, &"sh", &cache, &self.one_file()]);
        let joined = Runner::new(
            "into one file",
            || self.without_one_file(),
            self.written(joined),
        );
        let taken = race(&[&linked, &read, &joined, &summed, &hashed], self.rounds)?;
        self.clean()?;
        self.without_one_file()?;
        let names = [
            "hard-linking it, `cp -al`",
            "reading it, `cat` of every file to null on as many processors",
            ONE_FILE,
            "`sha256sum` over it on as many processors",
            DIGESTS,
        ];
        Ok(names
            .into_iter()
            .zip(taken)
            .map(|(what, taken)| Limit { what, taken })
            .collect())
    }
}
