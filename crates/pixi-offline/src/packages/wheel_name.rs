//! The names of wheels ("Binary distribution format" of the Python packaging guide), and
//! what of a machine they ask.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr as _;

use itertools::Itertools as _;
use pep440_rs::Version;
use rattler_conda_types::Subdir;

use crate::packages::subdir::machine;

/// The name of a wheel's file, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WheelName {
    /// The package's name, normalised.
    pub(super) package: String,
    /// Its version, as it is written.
    pub(super) version: String,
    build: Option<String>,
    python: BTreeSet<String>,
    abi: BTreeSet<String>,
    platform: BTreeSet<String>,
}

/// The Python of an environment, as far as wheels must fit it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Interpreter {
    /// The second number of its version, and its ABI (`cp311`); `None` when it is not
    /// CPython 3, or not known.
    pub(super) python: Option<(u32, String)>,
    /// The processor in tags of platforms.
    pub(super) machine: Option<&'static str>,
}

impl WheelName {
    /// Takes apart the name of a file, with or without its ending.
    pub(super) fn parse(file: &str) -> Option<WheelName> {
        let stem = file.strip_suffix(".whl").unwrap_or(file);
        let (package, rest) = stem.split_once('-')?;
        WheelName::of_parts(package, rest)
    }

    /// Takes apart what uv calls a wheel of `package` in its cache: the name of the
    /// file, or since uv 0.6 what follows the package in it.
    pub(super) fn of_cached(package: &str, key: &str) -> Option<WheelName> {
        WheelName::parse(key)
            .filter(|name| name.package == normalized(package))
            .or_else(|| WheelName::of_parts(package, key))
    }

    fn of_parts(package: &str, rest: &str) -> Option<WheelName> {
        let parts: Vec<&str> = rest.split('-').collect();
        let (version, build, tags) = match parts.as_slice() {
            [version, tags @ ..] if tags.len() == 3 => (version, None, tags),
            [version, build, tags @ ..] if tags.len() == 3 => (version, Some(build), tags),
            _ => return None,
        };
        let set = |text: &str| text.split('.').map(str::to_owned).collect();
        Some(WheelName {
            package: normalized(package),
            version: (*version).to_owned(),
            build: build.map(|build| (*build).to_owned()),
            python: set(tags[0]),
            abi: set(tags[1]),
            platform: set(tags[2]),
        })
    }

    /// Whether two names are those of the same file, written differently.
    pub(super) fn is_same(&self, other: &WheelName) -> bool {
        self.package == other.package
            && same_version(&self.version, &other.version)
            && self.build == other.build
            && self.python == other.python
            && self.abi == other.abi
            && self.platform == other.platform
    }

    /// Whether the wheel can be installed for an interpreter.
    pub(super) fn fits(&self, interpreter: &Interpreter) -> bool {
        let platform = |tag: &String| {
            tag == "any"
                || tag.starts_with("linux_") && interpreter.runs(tag)
                || tag.starts_with("manylinux") && interpreter.runs(tag)
        };
        let Some((minor, own)) = &interpreter.python else {
            return self.platform.iter().any(platform);
        };
        let python = |tag: &String| {
            self.abi.iter().any(|abi| match abi.as_str() {
                "none" => match tag.strip_prefix("cp3") {
                    Some(number) => number.parse() == Ok(*minor),
                    None => is_plain_python(tag, *minor),
                },
                "abi3" => {
                    !own.ends_with('t')
                        && tag
                            .strip_prefix("cp3")
                            .and_then(|number| number.parse::<u32>().ok())
                            .is_some_and(|number| number <= *minor)
                }
                abi => abi.trim_end_matches('m') == own && *tag == format!("cp3{minor}"),
            })
        };
        self.platform.iter().any(platform) && self.python.iter().any(python)
    }

    /// The oldest glibc that the wheel runs with, where it says so: that of the least
    /// of its tags (PEP 600 and those before it).
    pub(super) fn glibc(&self) -> Option<(u32, u32)> {
        let tags: Option<Vec<(u32, u32)>> = self.platform.iter().map(|tag| glibc_of(tag)).collect();
        tags?.into_iter().min()
    }
}

impl fmt::Display for WheelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.package.replace('-', "_"), self.version)?;
        let mut build = self.build.iter();
        build.try_for_each(|build| write!(f, "-{build}"))?;
        for tags in [&self.python, &self.abi, &self.platform] {
            write!(f, "-{}", tags.iter().format("."))?;
        }
        f.write_str(".whl")
    }
}

impl Interpreter {
    /// The interpreter of an environment on a platform, by the names of its conda packages
    /// (`python-3.11.2-0_cpython`).
    pub(super) fn of<'a>(subdir: Subdir, stems: impl Iterator<Item = &'a str>) -> Interpreter {
        let python = stems.into_iter().find_map(|stem| {
            let mut parts = stem.rsplitn(3, '-');
            let (build, version) = (parts.next()?, parts.next()?);
            (parts.next()? == "python" && !build.contains("pypy")).then_some(())?;
            let minor = version.strip_prefix("3.")?.split('.').next()?;
            let minor: u32 = minor.parse().ok()?;
            let threads = if build.ends_with(&format!("cp3{minor}t")) {
                "t"
            } else {
                ""
            };
            Some((minor, format!("cp3{minor}{threads}")))
        });
        Interpreter {
            python,
            machine: machine(subdir),
        }
    }

    fn runs(&self, tag: &str) -> bool {
        self.machine.is_none_or(|machine| {
            tag.strip_suffix(machine)
                .is_some_and(|rest| rest.ends_with('_'))
        })
    }
}

/// `py3`, `py311` and their like, for a Python 3 that is no older.
fn is_plain_python(tag: &str, minor: u32) -> bool {
    match tag.strip_prefix("py3") {
        Some("") => true,
        Some(number) => number.parse::<u32>().is_ok_and(|number| number <= minor),
        None => false,
    }
}

fn glibc_of(tag: &str) -> Option<(u32, u32)> {
    let rest = tag.strip_prefix("manylinux")?;
    let (version, _) = rest.trim_start_matches('_').split_once('_')?;
    match version {
        "1" => Some((2, 5)),
        "2010" => Some((2, 12)),
        "2014" => Some((2, 17)),
        major => {
            let minor = rest.trim_start_matches('_').split('_').nth(1)?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        }
    }
}

/// A name as PEP 503 compares it.
pub fn normalized(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            c => normal.extend(c.to_lowercase()),
        }
    }
    normal
}

/// Whether two versions are equal (PEP 440), or written alike where one is none.
pub(super) fn same_version(one: &str, other: &str) -> bool {
    match (parsed(one), parsed(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one.eq_ignore_ascii_case(other),
    }
}

/// Whether a version is another one, or that with a local part (`1.0+cu122`), which a
/// build may add.
pub(super) fn is_build_of(built: &str, version: &str) -> bool {
    same_version(built, version)
        || match (parsed(built), parsed(version)) {
            (Some(built), Some(version)) => !version.is_local() && built.without_local() == version,
            _ => false,
        }
}

/// A version; names of files have `_` for what is no letter, digit or dot.
fn parsed(version: &str) -> Option<Version> {
    let version = version.replace('_', "-");
    Version::from_str(&version)
        .or_else(|_| Version::from_str(&version.replacen('-', "+", 1)))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_pep_503_says() {
        for name in ["Ruamel.Yaml", "ruamel_yaml", "ruamel-_.yaml"] {
            assert_eq!(normalized(name), "ruamel-yaml");
        }
    }

    #[test]
    fn versions_are_compared_as_pep_440_says() {
        for (one, other) in [
            ("2024.7.4", "2024.07.04"),
            ("1.0", "1.0.0"),
            ("v1.0", "1.0"),
            ("1.0+local.1", "1.0+local_1"),
            ("1.0rc1", "1.0-rc.1"),
            ("1.0.post1", "1.0-1"),
            ("0.2+cu130", "0.2_cu130"),
        ] {
            assert!(same_version(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("1.0", "1.0.1"),
            ("1.0", "1.0+a"),
            ("1.0", "1.0rc1"),
            ("x", "y"),
        ] {
            assert!(!same_version(one, other), "{one} {other}");
        }
        assert!(is_build_of("2.5.8+cu122torch2.3", "2.5.8"));
        assert!(!is_build_of("2.5.9+cu122", "2.5.8"));
        assert!(!is_build_of("2.5.8+a", "2.5.8+b"));
    }

    #[test]
    fn names_of_files_and_what_uv_makes_of_them() {
        let file = WheelName::parse("Six_X-1.17.0-1-py2.py3-none-any.whl").unwrap();
        assert_eq!(
            (file.package.as_str(), file.version.as_str()),
            ("six-x", "1.17.0")
        );
        for key in ["1.17.0-1-py3.py2-none-any", "six_x-1.17-1-py2.py3-none-any"] {
            assert!(
                WheelName::of_cached("six-x", key).unwrap().is_same(&file),
                "{key}"
            );
        }
        for key in [
            "1.17.0-py2.py3-none-any",
            "1.17.0-1-py3-none-any",
            "1.18-1-py2.py3-none-any",
        ] {
            assert!(
                !WheelName::of_cached("six-x", key).unwrap().is_same(&file),
                "{key}"
            );
        }
        assert_eq!(
            WheelName::of_cached("longname", "1.0.0-63eb52ef3551f6c4"),
            None
        );
        assert_eq!(WheelName::parse("six.whl"), None);
    }

    #[test]
    fn tags_fit_an_interpreter_or_do_not() {
        let of = |stem: &str| Interpreter::of(Subdir::Linux64, [stem].into_iter());
        let plain = of("python-3.11.2-0_cpython");
        assert_eq!(plain.python, Some((11, "cp311".to_owned())));
        let free = of("python-3.13.1-h9a34b6e_5_cp313t");
        assert_eq!(free.python, Some((13, "cp313t".to_owned())));
        assert_eq!(of("python-dateutil-2.8-0").python, None);
        assert_eq!(of("python-3.9.18-0_73_pypy").python, None);
        let fits = |tags: &str, interpreter: &Interpreter| {
            WheelName::parse(&format!("a-1-{tags}"))
                .unwrap()
                .fits(interpreter)
        };
        for tags in [
            "py3-none-any",
            "py2.py3-none-any",
            "py39-none-any",
            "cp311-cp311-linux_x86_64",
            "cp38-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64",
            "py3-none-manylinux1_x86_64",
        ] {
            assert!(fits(tags, &plain), "{tags}");
        }
        for tags in [
            "cp39-cp39-macosx_11_0_arm64",
            "cp310-cp310-linux_x86_64",
            "cp311-cp311-linux_aarch64",
            "cp312-abi3-linux_x86_64",
            "cp311-cp311-musllinux_1_1_x86_64",
            "py2-none-any",
            "py312-none-any",
        ] {
            assert!(!fits(tags, &plain), "{tags}");
        }
        assert!(fits("cp313-cp313t-linux_x86_64", &free));
        assert!(!fits("cp38-abi3-linux_x86_64", &free));
    }

    #[test]
    fn the_glibc_of_tags() {
        let glibc = |tags: &str| {
            WheelName::parse(&format!("a-1-py3-none-{tags}"))
                .unwrap()
                .glibc()
        };
        assert_eq!(glibc("manylinux_2_34_x86_64"), Some((2, 34)));
        assert_eq!(
            glibc("manylinux_2_5_x86_64.manylinux1_x86_64"),
            Some((2, 5))
        );
        assert_eq!(glibc("manylinux2010_x86_64"), Some((2, 12)));
        assert_eq!(
            glibc("manylinux2014_aarch64.manylinux_2_28_aarch64"),
            Some((2, 17))
        );
        for none in ["any", "linux_x86_64", "musllinux_1_2_x86_64", "manylinux"] {
            assert_eq!(glibc(none), None, "{none}");
        }
    }
}
