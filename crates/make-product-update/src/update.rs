//! Writes an update.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pack_product::{ArchiveContents, PackPlan};
use pixi_offline::cancellation;
use pixi_offline::context::Context;
use pixi_offline::evidence::evidence_file::{self, LONGEST_LIST};
use pixi_offline::evidence::manifest::{EncodedPath, Entry, EntryKind, Mode};
use pixi_offline::evidence::signature::SigningKey;
use pixi_offline::evidence::sums;
use pixi_offline::evidence::trusted_comment::TrustedComment;
use pixi_offline::evidence::update_mark::DESCRIPTION;
use pixi_offline::failure::Failure;
use pixi_offline::layout::Product;
use pixi_offline::parallel;
use pixi_offline::replacement::{make_dir, require_free_space, write_file};
use pixi_offline::untrusted_dir::UntrustedDir;

use crate::apply_script::APPLY_SCRIPT;
use crate::bases::{Base, NewProduct, time_of};
use crate::contents::{self, NewContent, digest_of};
use crate::description::Description;
use crate::plan_files::{self, OuterFile, UpdateFile};
use crate::readme;
use crate::sources::UpdateSources;

/// The directory of an update with the lists and the evidence of the new product.
const PRODUCT: &str = "product";

/// What a target runs.
const SCRIPT: &str = "apply-update.sh";

/// What a person reads first.
const README: &str = "README.txt";

/// The digests of all files.
const SUMS: &str = "SHA256SUMS";

/// Their signature.
const SIGNATURE: &str = "SHA256SUMS.minisig";

/// An update that is known, and is to be written.
pub(crate) struct Update<'a> {
    pub(crate) new: &'a NewProduct,
    pub(crate) description: Description,
    pub(crate) bases: Vec<(&'a Base, UpdateSources<'a>)>,
    pub(crate) contents: Vec<NewContent<'a>>,
    pub(crate) key: Option<&'a SigningKey>,
}

impl Update<'_> {
    /// Writes all of it into an empty directory, and gives what is in that, but for the list of digests and
    /// its signature.
    ///
    /// # Errors
    ///
    /// Exit code 1 when a file of the product is no longer as it is listed, and when something cannot be
    /// written.
    pub(crate) fn write(&self, to: &Path, context: &Context) -> anyhow::Result<Vec<Entry>> {
        let (outer_files, mut files) = self.evidence()?;
        files.extend(plan_files::all(
            self.new,
            &self.bases,
            &self.description,
            &outer_files,
        ));
        files.extend([
            (DESCRIPTION.to_owned(), self.description.to_json()?),
            (README.to_owned(), readme::text(&self.description).into()),
            (SCRIPT.to_owned(), APPLY_SCRIPT.into()),
        ]);
        self.require_free_space(to, &files)?;
        context.report.progress_of(|| self.description.bytes);
        let product = UntrustedDir::open(self.new.product.path())?;
        contents::copy(&self.contents, &product, to, context)?;
        let written = parallel::par_map(&files, |(name, content)| {
            cancellation::check()?;
            write_below(to, name, content)?;
            Ok(file_entry(name, content))
        });
        let mut entries = written
            .into_iter()
            .collect::<anyhow::Result<Vec<Entry>>>()?;
        self.require_lists(&entries)?;
        make_executable(&to.join(SCRIPT))?;
        entries.extend(self.contents.iter().map(NewContent::entry));
        entries.sort_by(|one, other| one.path.bytes().cmp(other.path.bytes()));
        let sums = sums::lines(entries.iter().filter_map(|entry| match &entry.kind {
            EntryKind::File { sha256, .. } => Some((entry.path.bytes(), sha256)),
            _ => None,
        }));
        write_file(&to.join(SUMS), &sums)?;
        self.sign(&to.join(SUMS), &sums, context)?;
        Ok(with_dirs(entries))
    }

    /// Packs an update that is in its place.
    pub(crate) fn pack(
        &self,
        archive: &PackPlan,
        dir: &Path,
        entries: &[Entry],
        context: &Context,
    ) -> anyhow::Result<()> {
        let contents = ArchiveContents {
            dir,
            top: dir.file_name().unwrap_or_default().into(),
            unlisted: vec![SUMS, SIGNATURE],
            entries,
            keeps_times: false,
        };
        archive.pack_contents(&contents, |file, now| self.comment(file, now), context)
    }

    /// The files of the new product that no content brings.
    fn evidence(&self) -> anyhow::Result<(Vec<OuterFile>, Vec<UpdateFile>)> {
        let product = &self.new.product;
        let names = [Product::MANIFEST, Product::SBOM];
        let (mut outer_files, mut files) = (Vec::new(), Vec::new());
        for name in names.into_iter().chain(Product::UNCOVERED) {
            let path = product.path().join(name);
            let Some(content) = evidence_file::read(&path, LONGEST_LIST)? else {
                continue;
            };
            outer_files.push(OuterFile {
                name,
                size: content.len() as u64,
                time: time_of(&path)?,
            });
            files.push((format!("{PRODUCT}/{name}"), content));
        }
        Ok((outer_files, files))
    }

    /// Requires that the lists among the entries are those that were compared with the product: they were read
    /// once more.
    fn require_lists(&self, entries: &[Entry]) -> anyhow::Result<()> {
        let checked = &self.new.checked;
        let lists = [
            (Product::MANIFEST, Some(checked.manifest_digest)),
            (Product::SBOM, checked.digest_of(Path::new(Product::SBOM))),
            (SUMS, Some(checked.digest)),
        ];
        for (name, compared) in lists {
            let path = EncodedPath::new(format!("{PRODUCT}/{name}"));
            let written = entries.iter().find(|entry| entry.path == path);
            let is_same = match written.map(|entry| &entry.kind) {
                Some(EntryKind::File { sha256, .. }) => Some(*sha256) == compared,
                _ => false,
            };
            if !is_same && compared.is_some() {
                return Err(Failure::general(format!(
                    "{name} in the product was changed while it was read; copy the complete product again, or make it again"
                )));
            }
        }
        Ok(())
    }

    fn require_free_space(&self, to: &Path, files: &[UpdateFile]) -> anyhow::Result<()> {
        let written = files.iter().map(|(_, content)| content.len() as u64);
        let bytes = self.description.bytes + written.sum::<u64>();
        let entries = (self.contents.len() + files.len()) as u64;
        require_free_space(to, &[], || (bytes, entries))
    }

    fn sign(&self, file: &Path, content: &[u8], context: &Context) -> anyhow::Result<()> {
        let Some(key) = self.key else {
            return Ok(());
        };
        let comment = self.comment(file, context.signing_time());
        let signature = key.sign(content, &comment)?;
        write_file(&Product::signature_of(file), signature.as_bytes())
    }

    /// What is signed together with a file: which product it is about, and what that is made of.
    fn comment(&self, file: &Path, unix_seconds: u64) -> TrustedComment {
        let about = (&self.new.manifest().facts, &self.new.checked.digest);
        self.bases.iter().fold(
            TrustedComment::of(file, unix_seconds, Some(about)),
            |comment, (base, _)| comment.with("from", format!("sha256:{}", base.lists.digest)),
        )
    }
}

/// A file of an update as a list has it.
fn file_entry(name: &str, content: &[u8]) -> Entry {
    let mode = if name == SCRIPT { 0o755 } else { 0o644 };
    Entry {
        path: EncodedPath::new(name),
        kind: EntryKind::File {
            mode: Mode::of(mode),
            size: content.len() as u64,
            sha256: digest_of(content),
        },
    }
}

/// Adds the directories that files are in.
fn with_dirs(mut files: Vec<Entry>) -> Vec<Entry> {
    let above = |entry: &Entry| -> Vec<PathBuf> {
        let dirs = entry.path.path().ancestors().skip(1);
        dirs.filter(|dir| !dir.as_os_str().is_empty())
            .map(Path::to_owned)
            .collect()
    };
    let dirs: BTreeSet<PathBuf> = files.iter().flat_map(above).collect();
    files.extend(dirs.into_iter().map(|dir| Entry {
        path: EncodedPath::new(dir),
        kind: EntryKind::Directory {
            mode: Mode::of(0o755),
        },
    }));
    files.sort_by(|one, other| one.path.bytes().cmp(other.path.bytes()));
    files
}

/// Writes a file of an update, with the directories that it is in.
fn write_below(to: &Path, name: &str, content: &[u8]) -> anyhow::Result<()> {
    let file = to.join(name);
    let above: Vec<&Path> = file
        .ancestors()
        .skip(1)
        .take_while(|dir| *dir != to)
        .collect();
    for dir in above.into_iter().rev() {
        match make_dir(dir) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => made.with_context(|| format!("{} cannot be made", dir.display()))?,
        }
    }
    write_file(&file, content)
}

fn make_executable(file: &Path) -> anyhow::Result<()> {
    fs::set_permissions(file, Permissions::from_mode(0o755))
        .with_context(|| format!("{} cannot be written", file.display()))
}
