//! The platforms of images, of conda packages and of machines: one table.

use rattler_conda_types::Subdir;

/// The platforms of images (OCI image specification, "platform"), the subdirs of what is
/// installed in them, and what `uname -m` prints there.
const PLATFORMS: [(&str, Subdir, &str); 6] = [
    ("linux/amd64", Subdir::Linux64, "x86_64"),
    ("linux/arm64", Subdir::LinuxAarch64, "aarch64"),
    ("linux/ppc64le", Subdir::LinuxPpc64le, "ppc64le"),
    ("linux/s390x", Subdir::LinuxS390X, "s390x"),
    ("linux/riscv64", Subdir::LinuxRiscv64, "riscv64"),
    ("linux/386", Subdir::Linux32, "i686"),
];

/// The subdir for the platform of an image, `linux-64` for `linux/amd64`; pixi does not
/// tell variants of an architecture apart.
pub fn subdir_of_image(platform: &str) -> Option<Subdir> {
    let is_it = |(image, ..): &&(&str, Subdir, &str)| {
        let rest = platform.strip_prefix(image);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    PLATFORMS.iter().find(is_it).map(|(_, subdir, _)| *subdir)
}

/// The platform of images that the packages of a subdir run in.
pub fn image_platform(subdir: Subdir) -> Option<&'static str> {
    of(subdir).map(|(image, ..)| *image)
}

/// What `uname -m` prints where the packages of a subdir run.
pub fn machine(subdir: Subdir) -> Option<&'static str> {
    of(subdir).map(|(.., machine)| *machine)
}

fn of(subdir: Subdir) -> Option<&'static (&'static str, Subdir, &'static str)> {
    PLATFORMS.iter().find(|(_, known, _)| *known == subdir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_and_subdirs_name_each_other() {
        for (image, subdir) in [
            ("linux/amd64", Some(Subdir::Linux64)),
            ("linux/arm64/v8", Some(Subdir::LinuxAarch64)),
            ("linux/386", Some(Subdir::Linux32)),
            ("linux/arm/v7", None),
            ("linux/amd64x", None),
            ("windows/amd64", None),
            ("linux", None),
        ] {
            assert_eq!(subdir_of_image(image), subdir, "{image}");
        }
        for (image, subdir, name) in PLATFORMS {
            assert_eq!(subdir_of_image(image), Some(subdir));
            assert_eq!(image_platform(subdir), Some(image));
            assert_eq!(machine(subdir), Some(name));
        }
        assert_eq!(machine(Subdir::OsxArm64), None);
    }
}
