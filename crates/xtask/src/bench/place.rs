//! Where is measured: file systems in memory, and the disk.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use duct::cmd;

/// A file system to measure on, gone when it is dropped.
pub struct Place {
    /// What it is, for people.
    pub name: String,
    /// A folder on it that is ours.
    pub folder: PathBuf,
    mounted: Vec<PathBuf>,
    _scratch: tempfile::TempDir,
}

/// The file systems that are measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FileSystem {
    Tmpfs,
    Ext4,
    Btrfs,
    Disk,
}

impl FileSystem {
    /// All, in the order of the page.
    pub const ALL: [FileSystem; 4] = [
        FileSystem::Tmpfs,
        FileSystem::Ext4,
        FileSystem::Btrfs,
        FileSystem::Disk,
    ];

    /// Whether files can share their blocks.
    pub fn clones(self) -> bool {
        self == FileSystem::Btrfs
    }

    /// Makes it; in memory it holds this many bytes.
    pub fn place(self, bytes: u64) -> anyhow::Result<Place> {
        let name = match self {
            FileSystem::Tmpfs => "tmpfs",
            FileSystem::Ext4 => "ext4",
            FileSystem::Btrfs => "btrfs",
            FileSystem::Disk => "disk",
        };
        let scratch = tempfile::Builder::new()
            .prefix("pixi-offline-bench-")
            .tempdir()?;
        let folder = scratch.path().join("here");
        fs::create_dir(&folder)?;
        let mut place = Place {
            name: name.to_owned(),
            folder,
            mounted: Vec::new(),
            _scratch: scratch,
        };
        if self == FileSystem::Disk {
            return Ok(place);
        }
        let options = format!("size={},nr_inodes=0", bytes + (64 << 20));
        place.mount(&["-t", "tmpfs", "-o", &options, "tmpfs"])?;
        if self == FileSystem::Tmpfs {
            return Ok(place);
        }
        // In a file that lies on the tmpfs.
        let image = place.folder.join("image");
        fs::File::create(&image)?.set_len(bytes)?;
        let (program, package, words): (_, _, &[&str]) = match self {
            FileSystem::Ext4 => ("mkfs.ext4", "e2fsprogs", &["-q", "-i", "4096"]),
            _ => ("mkfs.btrfs", "btrfs-progs", &["-q"]),
        };
        let program = testbed::ensure_debian_package(program, package)?;
        cmd(
            program,
            words
                .iter()
                .map(std::ffi::OsString::from)
                .chain([image.clone().into()]),
        )
        .stdout_null()
        .run()
        .with_context(|| format!("the {name} cannot be made"))?;
        place.folder = place._scratch.path().join("mounted");
        fs::create_dir(&place.folder)?;
        let image = image.display().to_string();
        place.mount(&["-o", "loop", &image])?;
        Ok(place)
    }
}

impl Place {
    fn mount(&mut self, words: &[&str]) -> anyhow::Result<()> {
        cmd(
            "mount",
            words.iter().map(Path::new).chain([self.folder.as_path()]),
        )
        .run()
        .with_context(|| format!("{} cannot be mounted; are we root?", self.name))?;
        self.mounted.push(self.folder.clone());
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for folder in self.mounted.drain(..).rev() {
            // Lazily: the kernel lets go of a loop's file a moment after its file system.
            if let Err(error) = cmd!("umount", "--lazy", &folder).run() {
                eprintln!("{} is still mounted: {error}", folder.display());
            }
        }
    }
}
