//! Certificates of authorities, in PEM.

use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use memchr::memmem;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::named_file::read_named;
use crate::failure::Failure;

/// What a file of certificates begins with in PEM (RFC 7468).
const BEGIN: &[u8] = b"-----BEGIN ";

/// Certificates of authorities that are trusted.
#[derive(Clone)]
pub(super) struct Certificates {
    pub(super) path: PathBuf,
    pub(super) content: Vec<u8>,
    count: usize,
}

impl Certificates {
    /// Reads a file of at least one.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it cannot be read, has no certificate in PEM, or has a private key.
    pub(super) fn read(path: &Path) -> anyhow::Result<Certificates> {
        let content = read_named("--ca-cert", path)?;
        match count(&content) {
            Ok(count) => Ok(Certificates {
                path: path.to_owned(),
                content,
                count,
            }),
            Err(why) => Err(Failure::usage(format!(
                "--ca-cert {} {why}",
                path.display()
            ))),
        }
    }

    /// How many they are.
    pub(super) fn count_text(&self) -> String {
        match self.count {
            1 => "1 certificate".to_owned(),
            count => format!("{count} certificates"),
        }
    }
}

/// How many certificates a text has; or why it is not to be used.
fn count(text: &[u8]) -> Result<usize, String> {
    let label_has = |word: &str| {
        memmem::find_iter(text, BEGIN).any(|place| {
            let label = &text[place..];
            let end = memchr::memchr2(b'\n', b'\r', label).unwrap_or(label.len());
            memmem::find(&label[..end], word.as_bytes()).is_some()
        })
    };
    if label_has("PRIVATE KEY") {
        return Err("has a private key, which no container needs: name a file that has nothing but certificates".to_owned());
    }
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(text) {
        match certificate {
            Ok(certificate) if is_whole(&certificate) => count += 1,
            Ok(_) => {
                return Err(format!(
                    "has a certificate that is damaged, number {}; export it again",
                    count + 1
                ));
            }
            Err(error) => return Err(format!("cannot be read as PEM: {error:?}; export it again")),
        }
    }
    match count {
        0 if memmem::find(text, BEGIN).is_none() => Err(
            "is not PEM, the form that begins with -----BEGIN CERTIFICATE-----; `openssl x509 -inform der -in FILE -out ca.pem` converts a binary certificate".to_owned(),
        ),
        0 => Err("has no section CERTIFICATE; name a file with the certificate of the authority".to_owned()),
        count => Ok(count),
    }
}

/// Whether the outer sequence of a certificate (X.690) is as long as the certificate.
fn is_whole(der: &[u8]) -> bool {
    let [0x30, first, rest @ ..] = der else {
        return false;
    };
    if *first < 0x80 {
        return usize::from(*first) == rest.len();
    }
    let digits = usize::from(*first & 0x7f);
    if !(1..=4).contains(&digits) || rest.len() < digits {
        return false;
    }
    let (length, content) = rest.split_at(digits);
    let length = length
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    length == content.len()
}

/// The authorities that pixi has built in (Mozilla's), in PEM.
pub(super) fn built_in() -> String {
    /// Characters of a line (RFC 7468).
    const LINE: usize = 64;
    let mut text = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut rest = BASE64.encode(certificate);
        while !rest.is_empty() {
            let next = rest.split_off(rest.len().min(LINE));
            text.push_str(&rest);
            text.push('\n');
            rest = next;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(label: &str, der: &[u8]) -> String {
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            BASE64.encode(der)
        )
    }

    #[test]
    fn certificates_are_counted_and_text_around_them_is_nothing() {
        let roots = built_in();
        assert_eq!(
            count(roots.as_bytes()),
            Ok(webpki_root_certs::TLS_SERVER_ROOT_CERTS.len())
        );
        let one = pem("CERTIFICATE", &[0x30, 1, 0]);
        let around = format!("# company\r\n{}# end", one.replace('\n', "\r\n"));
        assert_eq!(count(around.as_bytes()), Ok(1));
        assert_eq!(count(format!("{one}{one}").as_bytes()), Ok(2));
    }

    #[test]
    fn what_is_no_certificate_is_refused_by_what_it_is() {
        let one = pem("CERTIFICATE", &[0x30, 1, 0]);
        for label in [
            "PRIVATE KEY",
            "RSA PRIVATE KEY",
            "ENCRYPTED PRIVATE KEY",
            "OPENSSH PRIVATE KEY",
        ] {
            let text = format!("{one}{}", pem(label, b"key"));
            let why = count(text.as_bytes()).unwrap_err();
            assert!(
                why.contains("private key") && !why.contains("a2V5"),
                "{why}"
            );
        }
        for (text, words) in [
            (String::new(), "is not PEM"),
            ("0\u{82}binary".to_owned(), "-inform der"),
            (
                pem("CERTIFICATE REQUEST", &[0x30, 0]),
                "no section CERTIFICATE",
            ),
            (pem("CERTIFICATE", b""), "damaged, number 1"),
            (pem("CERTIFICATE", &[0x30, 0x82, 1]), "damaged"),
            (
                one.clone() + &pem("CERTIFICATE", b"{}"),
                "damaged, number 2",
            ),
            (one.replace("MAEA", "?!"), "cannot be read as PEM"),
            (one.replace("-----END", "END"), "cannot be read as PEM"),
        ] {
            let why = count(text.as_bytes()).unwrap_err();
            assert!(why.contains(words), "{text:?}: {why}");
        }
    }
}
