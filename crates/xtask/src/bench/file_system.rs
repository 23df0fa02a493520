//! Where is measured: file systems in memory, and the disk.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use duct::cmd;

/// A file system to measure on, gone when it is dropped.
pub struct BenchPlace {
    pub file_system: FileSystem,
    /// A directory on it that the benchmark made.
    pub dir: PathBuf,
    mounted: Vec<PathBuf>,
    scratch: tempfile::TempDir,
}

/// The file systems that are measured on, in the order of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FileSystem {
    Tmpfs,
    Ext4,
    Btrfs,
    Disk,
}

impl FileSystem {
    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Tmpfs => "tmpfs",
            FileSystem::Ext4 => "ext4",
            FileSystem::Btrfs => "btrfs",
            FileSystem::Disk => "disk",
        }
    }

    /// Makes it; in memory it holds this many bytes.
    pub fn make_dir(self, bytes: u64) -> anyhow::Result<BenchPlace> {
        let scratch = tempfile::Builder::new()
            .prefix("pixi-offline-bench-")
            .tempdir()?;
        let dir = scratch.path().join("here");
        fs::create_dir(&dir)?;
        let mut place = BenchPlace {
            file_system: self,
            dir,
            mounted: Vec::new(),
            scratch,
        };
        if self == FileSystem::Disk {
            return Ok(place);
        }
        let options = format!("size={},nr_inodes=0", bytes + (64 << 20));
        place.mount(&["-t", "tmpfs", "-o", &options, "tmpfs"])?;
        let (program, package, args): (_, _, &[&str]) = match self {
            FileSystem::Ext4 => ("mkfs.ext4", "e2fsprogs", &["-q", "-i", "4096"]),
            FileSystem::Btrfs => ("mkfs.btrfs", "btrfs-progs", &["-q"]),
            FileSystem::Tmpfs | FileSystem::Disk => return Ok(place),
        };
        // In a file that is on the tmpfs.
        let image = place.dir.join("image").display().to_string();
        fs::File::create(&image)?.set_len(bytes)?;
        let program = testbed::ensure_debian_package(program, package)?;
        cmd(program, args.iter().chain([&image.as_str()]))
            .stdout_null()
            .run()
            .with_context(|| format!("the {} cannot be made", self.name()))?;
        place.dir = place.scratch().join("mounted");
        fs::create_dir(&place.dir)?;
        place.mount(&["-o", "loop", &image])?;
        Ok(place)
    }
}

impl BenchPlace {
    /// A directory on the disk, gone with this.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    fn mount(&mut self, args: &[&str]) -> anyhow::Result<()> {
        let args = args.iter().map(Path::new).chain([self.dir.as_path()]);
        cmd("mount", args).run().with_context(|| {
            format!(
                "{} cannot be mounted; are we root?",
                self.file_system.name()
            )
        })?;
        self.mounted.push(self.dir.clone());
        Ok(())
    }
}

impl Drop for BenchPlace {
    fn drop(&mut self) {
        for dir in self.mounted.drain(..).rev() {
            // Lazily: the kernel lets go of a loop's file a moment after its file system.
            if let Err(error) = cmd!("umount", "--lazy", &dir).run() {
                eprintln!("{} is still mounted: {error}", dir.display());
            }
        }
    }
}
