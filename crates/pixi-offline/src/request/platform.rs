//! Which platform an image shall be for.

use std::ffi::OsStr;

use crate::failure::Failure;
use crate::text_values;

text_values!(ContainerPlatform);

/// A platform in the words of container engines: operating system, architecture and
/// perhaps a variant of it, `linux/amd64` or `linux/arm/v7` (OCI image specification,
/// "platform").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPlatform(String);

impl ContainerPlatform {
    /// Takes a platform; the kernel's names of the two usual architectures are
    /// understood too.
    ///
    /// # Errors
    ///
    /// Exit code 2 when it is none, or not one of Linux.
    pub fn new(text: &OsStr) -> anyhow::Result<ContainerPlatform> {
        let refused = |why: &str| {
            Failure::usage(format!(
                "--container-platform {text:?} {why}; give linux/ARCHITECTURE, such as linux/amd64 or linux/arm64"
            ))
        };
        let parts: Vec<&str> = text.to_str().unwrap_or_default().split('/').collect();
        let is_word = |part: &&str| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            !part.is_empty() && part.chars().all(plain)
        };
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(is_word) {
            return Err(refused("is not a platform"));
        }
        if parts[0] != "linux" {
            return Err(refused(
                "is not Linux, and what is packed and verified here runs on Linux",
            ));
        }
        let architecture = match parts[1] {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let variant = parts.get(2).map(|variant| format!("/{variant}"));
        let variant = variant.unwrap_or_default();
        Ok(ContainerPlatform(format!("linux/{architecture}{variant}")))
    }

    /// Whether an image of this platform is one of it. An image that says nothing of its
    /// variant may be of any.
    pub fn takes(&self, image: &str) -> bool {
        let parts = |text| str::split(text, '/').collect::<Vec<&str>>();
        let (asked, told) = (parts(self.as_str()), parts(image));
        let both = asked.len().min(told.len()).max(2);
        asked.get(..both).is_some() && asked.get(..both) == told.get(..both)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure;

    #[test]
    fn only_platforms_of_linux_are_taken() {
        for (text, taken) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64/v8"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/ppc64le", "linux/ppc64le"),
        ] {
            let platform = ContainerPlatform::new(text.as_ref()).unwrap();
            assert_eq!(platform.as_str(), taken);
        }
        for text in [
            "",
            "amd64",
            "linux",
            "linux/",
            "/amd64",
            "linux/amd64/",
            "linux/amd64/v1/x",
            "linux/AMD64",
            "linux/a b",
            "windows/amd64",
            "darwin/arm64",
            "--network=host/x",
        ] {
            let error = ContainerPlatform::new(text.as_ref()).unwrap_err();
            assert_eq!(failure::exit_code(&error), failure::USAGE, "{text}");
            assert!(error.to_string().contains("linux/amd64"), "{error}");
        }
    }

    #[test]
    fn an_image_fits_by_architecture_and_by_variant_where_both_are_told() {
        for (asked, image, fits) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/amd64", "linux/arm64", false),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm/v7", "linux/arm", true),
            ("linux/arm/v7", "linux/arm/v6", false),
            ("linux/arm", "linux/arm64", false),
            ("linux/amd64", "/", false),
        ] {
            let asked = ContainerPlatform::new(asked.as_ref()).unwrap();
            assert_eq!(asked.takes(image), fits, "{asked} {image}");
        }
    }
}
