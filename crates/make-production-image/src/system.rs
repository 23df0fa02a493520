//! What an image is as a system, and whether an environment can run there.

/// A script for `sh` that prints what [`System::read`] understands. Arg: a directory.
pub const INSPECT: &str = include_str!("inspect.sh");

/// A C library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Libc {
    /// The GNU C library, with its version where it tells.
    Glibc(Option<(u32, u32)>),
    /// musl.
    Musl,
    /// Not found out.
    Unknown,
}

/// What was seen in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// Its C library.
    pub libc: Libc,
    /// Whether it has bash.
    pub bash: bool,
    /// What its `pixi --version` says, when it has one.
    pub pixi: Option<String>,
    /// Whether what runs in it is root.
    pub root: bool,
    /// Whether there is something in the directory that was asked for.
    pub dir_is_taken: bool,
}

impl System {
    /// Reads what [`INSPECT`] printed.
    pub fn read(text: &str) -> System {
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        };
        let libc = value("libc").unwrap_or_default();
        let lower = libc.to_lowercase();
        System {
            libc: if lower.contains("musl") {
                Libc::Musl
            } else if ["glibc", "gnu libc"]
                .iter()
                .any(|name| lower.contains(name))
            {
                Libc::Glibc(version_at_the_end(libc))
            } else {
                Libc::Unknown
            },
            bash: value("bash").is_some(),
            pixi: value("pixi").map(str::to_owned),
            root: value("user") == Some("0"),
            dir_is_taken: value("taken").is_some(),
        }
    }

    /// Why packages that need at least this glibc do not run there; `None` when they do,
    /// or it is not known. Without a number it is known only that they need glibc.
    pub fn lacks(&self, needed: Option<(u32, u32)>) -> Option<String> {
        let (major, minor) = needed?;
        match &self.libc {
            Libc::Musl => Some(format!(
                "its C library is musl, and the environment needs glibc {major}.{minor} or later"
            )),
            Libc::Glibc(Some(here)) if *here < (major, minor) => Some(format!(
                "it has glibc {}.{}, and the environment needs {major}.{minor} or later",
                here.0, here.1
            )),
            _ => None,
        }
    }
}

/// `2.36` of `glibc 2.36` and of `ldd (Debian GLIBC 2.36-9) 2.36`.
fn version_at_the_end(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_whitespace().last()?.split_once('.')?;
    let minor = minor.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_image_says_is_understood() {
        for (line, libc) in [
            ("libc glibc 2.36", Libc::Glibc(Some((2, 36)))),
            (
                "libc ldd (Debian GLIBC 2.36-9+deb12u1) 2.36",
                Libc::Glibc(Some((2, 36))),
            ),
            ("libc ldd (GNU libc) 2.17", Libc::Glibc(Some((2, 17)))),
            ("libc musl libc (x86_64)", Libc::Musl),
            ("libc ", Libc::Unknown),
            ("", Libc::Unknown),
        ] {
            assert_eq!(System::read(line).libc, libc, "{line}");
        }
        let system = System::read("libc glibc 2.31\nbash /bin/bash\npixi pixi 0.77.0\nuser 0\n");
        assert!(system.bash && system.root && !system.dir_is_taken);
        assert_eq!(system.pixi.as_deref(), Some("pixi 0.77.0"));
        assert_eq!(system.lacks(Some((2, 31))), None);
        assert_eq!(system.lacks(None), None);
        assert!(system.lacks(Some((2, 34))).unwrap().contains("glibc 2.31"));
        let musl = System::read("libc musl libc (x86_64)");
        assert!(musl.lacks(Some((2, 17))).unwrap().contains("musl"));
    }
}
