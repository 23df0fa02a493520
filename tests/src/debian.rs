//! The host as a Debian: what it is, and the programs that are missing on it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use duct::{Expression, cmd};

use crate::cache::Turn;
use crate::process::{announced, captured, say};

/// Finds `program` on PATH or among the system's programs; where it is missing and the
/// machine is Debian-like and we are root, installs `package` first.
///
/// # Errors
/// When it is missing and cannot be installed here: which package to install by hand.
pub fn ensure_debian_package(program: &str, package: &str) -> Result<PathBuf> {
    if let Some(path) = find_program(program) {
        return Ok(path);
    }
    if !can_install() {
        bail!(
            "the program `{program}` is missing: install it (on Debian: package {package}), \
             or run this as root on a Debian-like machine, which then installs it"
        );
    }
    let _turn = Turn::at("apt")?;
    if find_program(program).is_none() {
        install(&[package])?;
    }
    find_program(program)
        .with_context(|| format!("package {package} is installed, but `{program}` is not on PATH"))
}

/// Looks where programs are, also in the sbin directories that a plain user's PATH leaves out.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    let mut places: Vec<PathBuf> =
        env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    places.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    which::which_in(program, env::join_paths(places).ok(), "/").ok()
}

/// Whether packages can be installed without asking anyone.
pub(crate) fn can_install() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    is_debian_like(&release)
        && rustix::process::geteuid().is_root()
        && find_program("apt-get").is_some()
}

fn is_debian_like(os_release: &str) -> bool {
    let values = |key: &str| -> Vec<String> {
        let value = os_release
            .lines()
            .filter_map(|line| line.trim().split_once('='))
            .rfind(|(name, _)| *name == key);
        value
            .map(|(_, value)| {
                value
                    .trim_matches(['"', '\''])
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default()
    };
    let mut names = values("ID");
    names.extend(values("ID_LIKE"));
    names
        .iter()
        .any(|name| name == "debian" || name == "ubuntu")
}

/// Installs packages without their recommendations.
///
/// # Errors
/// When apt-get fails: the end of what it wrote.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    refresh_lists();
    let names = packages.join(" ");
    announced(format_args!("installing {names} with apt-get"), || {
        let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
        arguments.extend(packages);
        captured(format_args!("apt-get install {names}"), apt_get(&arguments)).map(drop)
    })
}

/// Once per process. Its failure is not the end: one unreachable source among many must
/// not hide that the package is available from another.
fn refresh_lists() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let refreshed = announced("apt-get update", || {
            captured("apt-get update", apt_get(&["update"]))
        });
        if let Err(error) = refreshed {
            say(format_args!(
                "{error:#}; going on with the lists as they are"
            ));
        }
    });
}

fn apt_get(arguments: &[&str]) -> Expression {
    let mut all = vec![
        "-qq",
        "-o",
        "Dpkg::Use-Pty=0",
        "-o",
        "DPkg::Lock::Timeout=600",
    ];
    all.extend(arguments);
    cmd("apt-get", all)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("PATH", system_path())
}

/// PATH with the sbin directories: maintainer scripts call programs there by name.
pub(crate) fn system_path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}

/// The Debian mirror that this machine uses itself, if it is a Debian that names one which
/// debootstrap can use too. Nothing in our files names a host.
pub(crate) fn mirror() -> Option<String> {
    let format = "$(REPO_URI)\t$(ORIGIN)\t$(LABEL)\t$(COMPONENT)";
    let targets = cmd!(
        "apt-get",
        "indextargets",
        "--format",
        format,
        "Created-By: Packages"
    );
    mirror_among(&captured("apt-get indextargets", targets).ok()?)
}

fn mirror_among(index_targets: &str) -> Option<String> {
    index_targets.lines().find_map(|line| {
        let (uri, rest) = line.split_once('\t')?;
        let usable = uri.starts_with("http://") || uri.starts_with("file:/");
        (usable && rest == "Debian\tDebian\tmain").then(|| uri.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_what_is_made_from_it_are_told_by_os_release() {
        assert!(is_debian_like(
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n"
        ));
        assert!(is_debian_like("ID=ubuntu\nID_LIKE=debian\n"));
        assert!(is_debian_like("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(is_debian_like("ID='debian'\n"));
        assert!(!is_debian_like("ID=fedora\nNAME=\"not debian\"\n"));
        assert!(!is_debian_like(
            "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"
        ));
        assert!(!is_debian_like(""));
    }

    #[test]
    fn the_mirror_is_debians_own_main_archive() {
        let targets = "http://security.test/debian-security/\tDebian\tDebian-Security\tmain\n\
                       https://other.test/node/\tother\tother\tmain\n\
                       http://mirror.test/debian/\tDebian\tDebian\tmain\n";
        assert_eq!(
            mirror_among(targets).as_deref(),
            Some("http://mirror.test/debian/")
        );
        assert_eq!(
            mirror_among("http://mirror.test/ubuntu/\tUbuntu\tUbuntu\tmain\n"),
            None
        );
        assert_eq!(
            mirror_among("mirror+file:/etc/mirrors\tDebian\tDebian\tmain\n"),
            None
        );
    }

    #[test]
    fn a_program_that_is_there_is_found_without_installing() {
        assert!(ensure_debian_package("sh", "dash").unwrap().is_absolute());
    }
}
