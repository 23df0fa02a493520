//! The build context: what the builder gets.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pixi_offline::evidence::evidence_file::{self, LONGEST_LIST};
use pixi_offline::evidence::manifest::{EntryKind, Manifest};
use pixi_offline::layout::{Product, ProjectPlace};
use pixi_offline::product;
use pixi_offline::transfer::FixedLenReader;
use pixi_offline::untrusted_dir::{UntrustedDir, open_below};
use rustix::fs::OFlags;
use tar::{Builder, EntryType, Header};

/// The files of a context beside the Dockerfile and the product: name and text. Those
/// without a dot first are scripts of the build stage.
pub fn files(project: &ProjectPlace) -> [(&'static str, String); 3] {
    let entry_point = product::keep_user_packages_away(include_str!("entrypoint.sh"));
    [
        ("build.sh", include_str!("build.sh").to_owned()),
        ("entrypoint.sh", entry_point),
        (".dockerignore", ignored(project)),
    ]
}

/// The resources are there for whoever adds a `COPY` of them.
const IGNORED: &str = "\
# Nothing but the product, and of that no environments.
*
!build.sh
!entrypoint.sh
!product
product/*/.pixi/*
!product/*/.pixi/config.toml
";

/// The text of `.dockerignore`: a project may be deep in the copy of its source root.
fn ignored(project: &ProjectPlace) -> String {
    let mut text = IGNORED.to_owned();
    if !project.in_root.is_empty() {
        let mut dir = "product/*/".to_owned();
        for c in project.in_root.as_str().chars() {
            // The builder makes a regular expression of the pattern, and `^` stays one.
            if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
                dir.push('\\');
            }
            dir.push(c);
        }
        dir.push_str("/.pixi");
        text.push_str(&format!("{dir}/*\n!{dir}/config.toml\n"));
    }
    text
}

/// What a build is made from.
#[derive(Debug, Clone)]
pub struct BuildContext {
    /// The Dockerfile's text.
    pub dockerfile: String,
    /// The product.
    pub product: PathBuf,
    /// What it lists: that goes along and nothing else.
    pub manifest: Manifest,
    /// Whether its resources go along.
    pub with_resources: bool,
}

impl BuildContext {
    /// Writes the context as a tar stream, times in seconds, everything root's. The
    /// Dockerfile comes last, so that a stream that was cut builds nothing.
    ///
    /// # Errors
    ///
    /// When something of the product cannot be read or is shorter than it is listed,
    /// or the stream takes no more.
    pub fn send(&self, to: impl Write) -> anyhow::Result<()> {
        let mut archive = Builder::new(to);
        let project = ProjectPlace::of_path(self.manifest.facts.project.dir.path())?;
        for (name, text) in files(&project) {
            append_text(&mut archive, name, &text)?;
        }
        append_dir(&mut archive, Path::new("product"), 0o755, 0)?;
        // It was compared with its lists before, and may have changed since.
        let dir = UntrustedDir::open(&self.product)?;
        // By which the build stage compares what it got.
        let product = Product::new(&self.product);
        for list in [product.sums(), product.manifest()] {
            let name = Path::new("product").join(list.file_name().unwrap_or_default());
            let text = evidence_file::read(&list, LONGEST_LIST)?
                .with_context(|| format!("{} is missing", list.display()))?;
            append_file(&mut archive, &name, &text)?;
        }
        let resources = Product::new("").resources();
        for entry in &self.manifest.entries {
            let path = entry.path.path();
            if path.starts_with(&resources) && !self.with_resources {
                continue;
            }
            append(&dir, &mut archive, path, &entry.kind)
                .with_context(|| format!("{} cannot be sent", self.product.join(path).display()))?;
        }
        append_text(&mut archive, "Dockerfile", &self.dockerfile)?;
        archive
            .into_inner()
            .and_then(|mut to| to.flush())
            .context("the build context cannot be ended")
    }
}

/// Appends an entry of the product that the manifest lists.
fn append(
    product: &UntrustedDir,
    archive: &mut Builder<impl Write>,
    path: &Path,
    kind: &EntryKind,
) -> anyhow::Result<()> {
    let name = Path::new("product").join(path);
    match kind {
        EntryKind::Directory { .. } => {
            let metadata = product.open_dir(path)?.metadata()?;
            append_dir(archive, &name, metadata.mode(), metadata.mtime())?;
        }
        EntryKind::Link { target } => {
            let link = open_below(product, path.as_os_str().as_bytes(), OFlags::PATH)?;
            let metadata = File::from(link).metadata()?;
            let mut header = header(metadata.mode(), metadata.mtime());
            header.set_entry_type(EntryType::Symlink);
            archive.append_link(&mut header, &name, target.path())?;
        }
        EntryKind::File { size, .. } => {
            let file = product.open_listed_file(path)?;
            let metadata = file.metadata()?;
            let mut header = header(metadata.mode(), metadata.mtime());
            header.set_entry_type(EntryType::Regular);
            header.set_size(*size);
            archive.append_data(&mut header, &name, FixedLenReader::new(file, *size))?;
        }
        // Fifos and the like mean nothing in an image.
        _ => {}
    }
    Ok(())
}

fn append_text(archive: &mut Builder<impl Write>, name: &str, text: &str) -> anyhow::Result<()> {
    append_file(archive, Path::new(name), text.as_bytes())
}

fn append_file(
    archive: &mut Builder<impl Write>,
    name: &Path,
    content: &[u8],
) -> anyhow::Result<()> {
    let mut header = header(0o644, 0);
    header.set_entry_type(EntryType::Regular);
    header.set_size(content.len() as u64);
    archive
        .append_data(&mut header, name, content)
        .with_context(|| format!("{} cannot be sent", name.display()))
}

fn append_dir(
    archive: &mut Builder<impl Write>,
    name: &Path,
    mode: u32,
    time: i64,
) -> io::Result<()> {
    let mut header = header(mode, time);
    header.set_entry_type(EntryType::Directory);
    archive.append_data(&mut header, name, io::empty())
}

fn header(mode: u32, time: i64) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(mode & 0o7777);
    header.set_mtime(u64::try_from(time).unwrap_or(0));
    header.set_size(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{FileType, Mode};

    use super::*;

    /// Sends a file and a link of a product, after `change`.
    fn sent(change: impl FnOnce(&Path)) -> anyhow::Result<Vec<u8>> {
        let place = tempfile::tempdir().unwrap();
        let product = place.path().join("product");
        fs::create_dir_all(product.join("demo")).unwrap();
        fs::write(product.join("demo/file"), "of the product").unwrap();
        symlink("file", product.join("demo/link")).unwrap();
        change(&product);
        let mut archive = Builder::new(Vec::new());
        let product = UntrustedDir::open(&product).unwrap();
        let file = EntryKind::File {
            mode: pixi_offline::evidence::manifest::Mode::of(0o644),
            size: 14,
            sha256: [0; 32].into(),
        };
        append(&product, &mut archive, Path::new("demo/file"), &file)?;
        let link = EntryKind::Link {
            target: pixi_offline::evidence::manifest::EncodedPath::new("file"),
        };
        append(&product, &mut archive, Path::new("demo/link"), &link)?;
        Ok(archive.into_inner()?)
    }

    #[test]
    fn a_project_of_any_name_is_ignored_by_its_name() {
        let of = |path: &str| ignored(&ProjectPlace::of_path(Path::new(path)).unwrap());
        assert_eq!(of("foo"), IGNORED);
        let text = of("foo/apps/[x]*");
        let line = r"product/*/apps/\[x\]\*/.pixi/*";
        assert!(text.lines().any(|one| one == line), "{text}");
    }

    #[test]
    fn the_lines_on_user_packages_have_their_place() {
        let script = include_str!("entrypoint.sh");
        assert_eq!(script.matches("# USER PACKAGES\n").count(), 1);
        assert!(product::keep_user_packages_away(script).contains("PYTHONNOUSERSITE='1'"));
    }

    #[test]
    fn what_became_another_since_it_was_compared_is_neither_followed_nor_waited_for() {
        let has = |stream: &[u8], text: &[u8]| memchr::memmem::find(stream, text).is_some();
        assert!(has(&sent(|_| ()).unwrap(), b"of the product"));
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), "of the person.").unwrap();
        let replace = |by: &dyn Fn(&Path)| {
            sent(|product| {
                fs::remove_file(product.join("demo/file")).unwrap();
                by(&product.join("demo/file"));
            })
        };
        let file = outside.path().join("file");
        assert!(replace(&|place| symlink(&file, place).unwrap()).is_err());
        let fifo = |place: &Path| {
            let at = rustix::fs::CWD;
            rustix::fs::mknodat(at, place, FileType::Fifo, Mode::RUSR, 0).unwrap();
        };
        assert!(replace(&fifo).is_err());
        let swapped = sent(|product| {
            fs::rename(product.join("demo"), product.join("away")).unwrap();
            symlink(outside.path(), product.join("demo")).unwrap();
        });
        assert!(swapped.is_err());
        // What a link leads to is sent as it was compared.
        let led = sent(|product| {
            fs::remove_file(product.join("demo/link")).unwrap();
            symlink("/elsewhere", product.join("demo/link")).unwrap();
        });
        assert!(!has(&led.unwrap(), b"/elsewhere"));
    }
}
