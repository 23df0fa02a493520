//! The trusted comment of a signature: one line that is signed together with a
//! file, and says which product it belongs to. Without it a right signature of last
//! month, or of another project, would look like the one that was asked for.

use std::fmt;
use std::path::Path;

use crate::escape::one_line;
use crate::evidence::manifest::{EncodedPath, ManifestFacts};
use crate::evidence::{Sha256Digest, rfc3339};
use crate::failure::Failure;
use crate::packages::Subdir;

/// Fields of the form `name:value`, separated by tabs as minisign's own are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedComment(Vec<(String, String)>);

impl TrustedComment {
    /// The comment for a signature of `file` that is made now, in seconds since 1970.
    /// Without a product with lists it names time and file alone.
    pub fn of(
        file: &Path,
        unix_seconds: u64,
        product: Option<(&ManifestFacts, &Sha256Digest)>,
    ) -> TrustedComment {
        let name = file.file_name().unwrap_or_default();
        let mut fields = vec![
            ("timestamp", unix_seconds.to_string()),
            ("date", rfc3339(unix_seconds).unwrap_or_default()),
            ("file", name.to_string_lossy().into_owned()),
        ];
        fields.extend(
            product
                .into_iter()
                .flat_map(|(facts, digest)| described(facts, digest)),
        );
        TrustedComment(
            fields
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> TrustedComment {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    /// Reads a comment, whoever wrote it; a part without a colon is kept as a field
    /// without a value.
    pub fn parse(text: &str) -> TrustedComment {
        let field = |part: &str| match part.split_once(':') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (part.to_owned(), String::new()),
        };
        TrustedComment(text.split('\t').map(field).collect())
    }

    /// The value of a field; `None` where a person signed without it.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }

    /// Requires that the comment, where it names a product, names this one.
    ///
    /// # Errors
    ///
    /// Exit code 1 when a field differs from the manifest.
    pub fn require_product(
        &self,
        signature: &Path,
        facts: &ManifestFacts,
        digest: &Sha256Digest,
    ) -> anyhow::Result<()> {
        for (name, expected) in described(facts, digest) {
            let values = self.0.iter().filter(|(field, _)| field == name);
            for (_, signed) in values {
                if *signed != expected {
                    return Err(Failure::general(format!(
                        "{} was made for another product: it names the {name} {signed}, and the product has {}; get the product that you asked for from whoever made it",
                        signature.display(),
                        if expected.is_empty() {
                            "none"
                        } else {
                            &expected
                        },
                    )));
                }
            }
        }
        Ok(())
    }

    /// The comment for people: the fields with blanks between them.
    pub fn shown(&self) -> String {
        one_line(&self.to_string())
    }
}

impl fmt::Display for TrustedComment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, value)) in self.0.iter().enumerate() {
            let tab = if place == 0 { "" } else { "\t" };
            if value.is_empty() {
                write!(f, "{tab}{name}")?;
            } else {
                write!(f, "{tab}{name}:{value}")?;
            }
        }
        Ok(())
    }
}

/// What tells a product from another; values are encoded as paths are, so that none
/// of them could begin a field of its own.
fn described(facts: &ManifestFacts, digest: &Sha256Digest) -> [(&'static str, String); 4] {
    let encoded = |text: &str| EncodedPath::new(text).to_string();
    let known = |text: Option<&str>| text.map(encoded).unwrap_or_default();
    [
        ("project", encoded(&facts.project.name)),
        ("version", known(facts.project.version.as_deref())),
        ("platform", known(facts.platform.map(Subdir::as_str))),
        ("product", format!("sha256:{digest}")),
    ]
}
