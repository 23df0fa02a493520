//! The labels of an image.

use pixi_offline::escape::one_line;
use pixi_offline::evidence::manifest::ManifestFacts;
use pixi_offline::evidence::{ProjectMetadata, Sha256Digest};
use pixi_offline::request::{EnvironmentName, ImageReference};
use pixi_offline::url::UrlText;

use crate::request::ImageSetting;

/// The label with the digest of the product that an image was made from.
pub const PRODUCT_DIGEST: &str = "io.github.pixi-offline.product.digest";

/// An address without the login that it may have: a label can be read by everybody.
fn without_login(address: &str) -> String {
    let url = UrlText::new(address);
    match url.scheme {
        Some(scheme) => format!("{scheme}://{}{}", url.host, url.path),
        None => address.to_owned(),
    }
}

/// The labels of an image: those of the OCI image specification
/// (annotations.md) first. What is not known is empty, so that no value of the base
/// image stands in its place. Those that were asked for win.
pub fn labels(
    facts: &ManifestFacts,
    digest: &Sha256Digest,
    project: &ProjectMetadata,
    environment: &EnvironmentName,
    base: &ImageReference,
    asked: &[ImageSetting],
) -> Vec<ImageSetting> {
    let revision = facts.project.git.as_ref().map(|state| {
        let mark = if state.dirty == Some(true) {
            "-dirty"
        } else {
            ""
        };
        format!("{}{mark}", state.commit)
    });
    let lock = facts.project.lock.as_ref();
    let known = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut labels = vec![
        ImageSetting::new("org.opencontainers.image.title", &facts.project.name),
        ImageSetting::new("org.opencontainers.image.version", known(&project.version)),
        ImageSetting::new(
            "org.opencontainers.image.source",
            without_login(&known(&project.source)),
        ),
        ImageSetting::new("org.opencontainers.image.revision", known(&revision)),
        ImageSetting::new("org.opencontainers.image.base.name", base.as_str()),
        ImageSetting::new("io.github.pixi-offline.environment", environment.as_str()),
        ImageSetting::new(
            "io.github.pixi-offline.lock.digest",
            lock.map(|lock| format!("sha256:{}", lock.sha256))
                .unwrap_or_default(),
        ),
        ImageSetting::new(PRODUCT_DIGEST, format!("sha256:{digest}")),
    ];
    // What comes out of a product is one line of words in a Dockerfile, whatever it is.
    for label in &mut labels {
        label.value = one_line(&label.value);
    }
    for setting in asked {
        labels.retain(|label| label.key != setting.key);
        labels.push(setting.clone());
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_gives_no_login_away() {
        for (address, label) in [
            (
                "https://me:secret@git.example/a@b",
                "https://git.example/a@b",
            ),
            ("https://git.example", "https://git.example"),
            ("git@git.example:a/b", "git@git.example:a/b"),
            ("", ""),
        ] {
            assert_eq!(without_login(address), label);
        }
    }
}
