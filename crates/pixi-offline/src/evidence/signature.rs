//! Signatures in the format of minisign, of files that are small enough to be
//! held in memory.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use minisign::{PublicKey, PublicKeyBox, SecretKey, SecretKeyBox, SignatureBox};

use crate::evidence::evidence_file;
use crate::evidence::trusted_comment::TrustedComment;
use crate::failure::Failure;
use crate::layout::Product;
use crate::parallel::locked;

/// The most that a file with a signature may have, in bytes; those of minisign have
/// fewer than 9,000.
const LONGEST_SIGNATURE: u64 = 64 * 1024;

/// A key that signs.
#[derive(Clone)]
pub struct SigningKey(SecretKey);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Reads a secret key of minisign; the password of one that has one is the
    /// first line of `password_file`, or is asked for at the terminal.
    fn read(file: &Path, password_file: Option<&Path>) -> anyhow::Result<SigningKey> {
        let text = read_text("--sign-key", file)?;
        let mut key = stored_key(file, &text)?;
        if key.is_encrypted() {
            let password = match password_file {
                Some(password_file) => read_text("--sign-password-file", password_file)?
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
                None => rpassword::prompt_password(format!("Password of {}: ", file.display()))
                    .map_err(|_| unusable(file, &NO_TERMINAL))?,
            };
            key = SecretKeyBox::from(text)
                .into_secret_key(Some(password))
                .map_err(|error| unusable(file, &error))?;
        }
        let key = SigningKey(key);
        // One without a password has no checksum that would tell whether it is whole.
        key.sign(b"", &TrustedComment::default())
            .map_err(|error| unusable(file, &error))?;
        Ok(key)
    }

    /// The signature of `content`, with a comment that is signed too.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers, or the key is damaged.
    pub fn sign(&self, content: &[u8], trusted_comment: &TrustedComment) -> anyhow::Result<String> {
        let public = PublicKey::from_secret_key(&self.0)?;
        minisign::sign(
            Some(&public),
            &self.0,
            Cursor::new(content),
            Some(&trusted_comment.to_string()),
            Some("signature of pixi-offline, to be checked with minisign"),
        )
        .map(SignatureBox::into_string)
        .context("the signature cannot be made")
    }
}

/// Reads secret keys, and keeps those that were read: a password is asked for once in a run.
/// Its clones share that.
#[derive(Debug, Clone, Default)]
pub struct SigningKeys {
    read: Arc<Mutex<HashMap<PathBuf, SigningKey>>>,
}

impl SigningKeys {
    /// The secret key of minisign in this file; the password of one that has one is the first
    /// line of `password_file`, or is asked for at the terminal.
    ///
    /// # Errors
    ///
    /// Exit code 2 when the file is no such key, or the password is wrong or
    /// cannot be asked for.
    pub fn read(&self, file: &Path, password_file: Option<&Path>) -> anyhow::Result<SigningKey> {
        let mut read = locked(&self.read);
        if let Some(key) = read.get(file) {
            return Ok(key.clone());
        }
        let key = SigningKey::read(file, password_file)?;
        read.insert(file.to_owned(), key.clone());
        Ok(key)
    }

    /// Looks at the key as far as that needs no question.
    ///
    /// # Errors
    ///
    /// As [`SigningKeys::read`], but for a wrong answer.
    pub fn check(&self, file: &Path, password_file: Option<&Path>) -> anyhow::Result<()> {
        let is_known = locked(&self.read).contains_key(file);
        let key = stored_key(file, &read_text("--sign-key", file)?)?;
        if is_known || password_file.is_some() || !key.is_encrypted() {
            return self.read(file, password_file).map(drop);
        }
        // Where it would be asked for.
        match File::open("/dev/tty") {
            Ok(_) => Ok(()),
            Err(_) => Err(unusable(file, &NO_TERMINAL)),
        }
    }
}

/// What to say where nobody can be asked for a password.
const NO_TERMINAL: &str =
    "it has a password, and there is no terminal to ask for it; give --sign-password-file";

fn unusable(file: &Path, why: &dyn fmt::Display) -> anyhow::Error {
    Failure::usage(format!(
        "--sign-key {} cannot be used: {why}",
        file.display()
    ))
}

/// A key that signatures are checked with.
#[derive(Debug, Clone)]
pub struct VerifyingKey {
    key: PublicKey,
    /// The option that names it, for messages.
    option: &'static str,
}

impl VerifyingKey {
    /// Reads the public key of minisign that `option` names.
    ///
    /// # Errors
    ///
    /// Exit code 2 when the file is none.
    pub fn read(option: &'static str, file: &Path) -> anyhow::Result<VerifyingKey> {
        let text = read_text(option, file)?;
        let key = PublicKeyBox::from(text).into_public_key();
        let key = key.map_err(|error| {
            Failure::usage(format!(
                "{option} {} is not a public key of minisign: {error}",
                file.display()
            ))
        })?;
        Ok(VerifyingKey { key, option })
    }

    /// The key as minisign writes it, for people to compare.
    pub fn text(&self) -> String {
        self.key.to_base64()
    }

    /// Checks the signature of `content`, and gives the comment that was signed
    /// with it.
    ///
    /// # Errors
    ///
    /// When it is not a signature, another key's, or one of something else.
    pub fn check(&self, content: &[u8], signature: &str) -> anyhow::Result<TrustedComment> {
        let signature = SignatureBox::from_string(signature)?;
        minisign::verify(
            &self.key,
            &signature,
            Cursor::new(content),
            true,
            false,
            false,
        )?;
        Ok(TrustedComment::parse(&signature.trusted_comment()?))
    }

    /// Requires that a file of a product has a signature of this key beside it, and gives
    /// the file's content and the comment that was signed with it.
    ///
    /// # Errors
    ///
    /// Exit code 1 when file or signature are missing, are not regular files, or the
    /// signature is another key's or one of something else.
    pub fn require_signed(
        &self,
        file: &Path,
        limit: u64,
    ) -> anyhow::Result<(Vec<u8>, TrustedComment)> {
        let refuse = |why: String| Failure::general(why);
        let beside = Product::signature_of(file);
        let content = evidence_file::read(file, limit)?
            .ok_or_else(|| refuse(format!("{} is missing", file.display())))?;
        let signature = evidence_file::read(&beside, LONGEST_SIGNATURE)?.ok_or_else(|| {
            refuse(format!(
                "the product is not signed: {} is missing; make it with --sign-key, or leave {} out",
                beside.display(),
                self.option
            ))
        })?;
        let comment = String::from_utf8(signature)
            .context("it is not text")
            .and_then(|signature| self.check(&content, &signature));
        comment.map(|comment| (content, comment)).map_err(|error| {
            let name = file.file_name().unwrap_or_default();
            refuse(format!(
                "{} is not a signature of {} by the key of {}: {error}",
                beside.display(),
                name.display(),
                self.option
            ))
        })
    }
}

fn read_text(option: &str, file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).map_err(|error| {
        Failure::usage(format!(
            "{option} {} cannot be read: {error}",
            file.display()
        ))
    })
}

/// The secret key in the text of this file, still encrypted if it is.
fn stored_key(file: &Path, text: &str) -> anyhow::Result<SecretKey> {
    let decode = || {
        let key = text.lines().nth(1).ok_or("it has no second line")?;
        let bytes = data_encoding::BASE64
            .decode(key.trim().as_bytes())
            .map_err(|error| error.to_string())?;
        // A public key is shorter.
        SecretKey::from_bytes(&bytes).map_err(|error| error.to_string())
    };
    decode().map_err(|why: String| {
        Failure::usage(format!(
            "--sign-key {} is not a secret key of minisign ({why}); make one with `minisign -G`",
            file.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use minisign::KeyPair;

    use super::*;

    #[test]
    fn a_signature_holds_for_its_content_and_its_key_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        fs::write(path("key"), pair.sk.to_box(None).unwrap().to_bytes()).unwrap();
        fs::write(path("pub"), pair.pk.to_box().unwrap().to_bytes()).unwrap();
        let other = KeyPair::generate_unencrypted_keypair().unwrap();
        fs::write(path("other"), other.pk.to_box().unwrap().to_bytes()).unwrap();

        let key = SigningKey::read(&path("key"), None).unwrap();
        let comment = TrustedComment::parse("file:name\tproject:comment");
        let signature = key.sign(b"content", &comment).unwrap();
        let public = VerifyingKey::read("--verify-key", &path("pub")).unwrap();
        assert_eq!(public.check(b"content", &signature).unwrap(), comment);
        assert!(public.check(b"Content", &signature).is_err());
        let other = VerifyingKey::read("--verify-key", &path("other")).unwrap();
        assert!(other.check(b"content", &signature).is_err());
        let forged = signature.replace("project:comment", "project:another");
        assert_ne!(forged, signature);
        assert!(public.check(b"content", &forged).is_err());
    }

    /// A key made for this test, with the password `secret`, which takes little
    /// to derive: those of minisign itself take a gibibyte of memory.
    const WITH_PASSWORD: &str = "untrusted comment: minisign encrypted secret key
RWRTY0IyAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8AgAAAAAAAAAAAEAAAAAAAqmnnWCKK2ijHaV+HM9q0d8hYBB0eomXhQv9hRC7vkR/BmaBuvSPlR00o7FB5QhV5tXnTnzPsOiLNLAOnTG+0yaVGY8WnROzqH0SCtt7R5YPvOG8RwrYlJPe41ZrcwW/6uf0G2mL/T2g=
";

    #[test]
    fn a_key_with_a_password_needs_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("key"), WITH_PASSWORD).unwrap();
        fs::write(path("right"), "secret\n").unwrap();
        fs::write(path("wrong"), "Secret\n").unwrap();
        assert!(SigningKey::read(&path("key"), Some(&path("right"))).is_ok());
        let error = SigningKey::read(&path("key"), Some(&path("wrong"))).unwrap_err();
        assert!(error.to_string().contains("Wrong password"), "{error}");
        let error = SigningKey::read(&path("right"), None).unwrap_err();
        assert!(error.to_string().contains("not a secret key"), "{error}");
    }
}
