//! What a build is handed to reach what it fetches: certificates of a company's authority,
//! logins and proxies.
//!
//! In: what was asked for and the environment of the process. Out: files that a container gets
//! read-only in a directory of their own ([`NetworkAccess::DIR`]), names of variables that it
//! gets, and what must be kept out of its output. Nothing of it is written into a workdir, a
//! log or a record; a container without a network gets none of it.

mod certificates;
mod login_file;
mod named_file;
mod proxies;

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use self::certificates::Certificates;
use self::login_file::LoginFile;
use self::proxies::Proxies;
use crate::container::{Masking, Mount};
use crate::context::Context;
use crate::failure::Failure;
use crate::request::{ContainerPath, ContainerVariable, NetworkRequest, text_for_mount};
use crate::untrusted_dir::UntrustedDir;

/// The variables by which the script of a build tells programs of the files. First those that
/// name the certificates that a program trusts: pixi and uv, Python's requests, curl, git, pip,
/// Node.js; then the one that has pixi 0.61 to 0.69 read the first at all; then those of logins.
const VARIABLES: [&str; 9] = [
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "PIXI_TLS_ROOT_CERTS",
    "RATTLER_AUTH_FILE",
    "NETRC",
];

/// The name in the out directory, while a container runs that has it mounted, of the
/// authorities that every pixi has built in; an image may have none of its own.
const ROOTS: &str = ".pixi-offline-new-roots";

/// Certificates, logins and proxies for a build.
#[derive(Clone, Default)]
pub(crate) struct NetworkAccess {
    certificates: Vec<Certificates>,
    logins: Vec<LoginFile>,
    proxies: Proxies,
    /// Those of [`VARIABLES`] that the caller has not set.
    variables: Vec<&'static str>,
    masking: Masking,
}

/// A directory that is copied into the workdir.
pub(crate) struct CopiedDir<'a> {
    /// Where it is.
    pub(crate) dir: &'a Path,
    /// Whether a path below it is copied.
    pub(crate) copies: &'a dyn Fn(&Path) -> bool,
}

/// A file for a container.
struct AccessFile<'a> {
    /// Its name in [`NetworkAccess::DIR`].
    name: String,
    /// Where it is on this machine.
    source: PathBuf,
    /// What is in it.
    content: &'a [u8],
}

/// Why a server or proxy did not let a build in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NetworkFailure {
    /// Its certificate is of an authority that is not trusted.
    UnknownAuthority,
    /// It wants a login, or refuses the one that it got.
    Login,
    /// The proxy wants one.
    ProxyLogin,
}

impl NetworkAccess {
    /// Where a container finds the files.
    pub(crate) const DIR: &'static str = "/run/pixi-offline";

    /// Reads what was asked for; `variables` are the caller's own for the containers, which
    /// win, and `engine_arguments` those for the engine's `run`.
    ///
    /// # Errors
    ///
    /// Exit code 2 when a file cannot be read, is not what it should be, or is one too many.
    pub(crate) fn read(
        request: &NetworkRequest,
        variables: &[ContainerVariable],
        engine_arguments: &[OsString],
        context: &Context,
    ) -> anyhow::Result<NetworkAccess> {
        let certificates = request.certificates.iter();
        let certificates: Vec<Certificates> = certificates
            .map(|file| Certificates::read(&context.host.absolute(file)))
            .collect::<anyhow::Result<_>>()?;
        let mut logins: Vec<LoginFile> = Vec::new();
        for file in &request.logins {
            let login = LoginFile::read(&context.host.absolute(file))?;
            if let Some(other) = logins.iter().find(|other| other.kind == login.kind) {
                return Err(Failure::usage(format!(
                    "--auth-file {} and --auth-file {} are both {}: give one of each kind, with all logins in it",
                    other.path.display(),
                    login.path.display(),
                    login.kind.what()
                )));
            }
            logins.push(login);
        }
        let proxies = match request.passes_proxies {
            true => Proxies::for_container(&context.host.proxies, variables, engine_arguments),
            false => Proxies::default(),
        };
        let mut masking = Masking::default();
        for login in &logins {
            login.mask(&mut masking);
        }
        proxies.mask(&mut masking);
        let is_free = |name: &&str| !variables.iter().any(|variable| variable.key() == *name);
        let access = NetworkAccess {
            variables: VARIABLES.into_iter().filter(is_free).collect(),
            certificates,
            logins,
            proxies,
            masking,
        };
        for file in access.named() {
            text_for_mount("a file that must be mounted", file.as_os_str())?;
        }
        Ok(access)
    }

    /// The files that were named.
    pub(crate) fn named(&self) -> impl Iterator<Item = &Path> {
        let certificates = self.certificates.iter().map(|file| file.path.as_path());
        certificates.chain(self.logins.iter().map(|login| login.path.as_path()))
    }

    /// Requires that the files are where none of the directories that are copied takes a login
    /// along, and that the container has room for them beside its workdir.
    ///
    /// # Errors
    ///
    /// Exit code 2.
    pub(crate) fn require_apart(
        &self,
        workdir: &ContainerPath,
        copied: &[CopiedDir<'_>],
    ) -> anyhow::Result<()> {
        for login in &self.logins {
            let real = login.path.canonicalize();
            let path = real.as_deref().unwrap_or(&login.path);
            for copied in copied {
                let dir = copied.dir.canonicalize().ok();
                let inside = dir.as_ref().and_then(|dir| path.strip_prefix(dir).ok());
                if inside.is_some_and(copied.copies) {
                    return Err(Failure::usage(format!(
                        "--auth-file {} is in what is copied into the product: move it out, or leave it out with --exclude",
                        login.path.display()
                    )));
                }
            }
        }
        let (workdir, dir) = (Path::new(workdir.as_str()), Path::new(NetworkAccess::DIR));
        if self.has_files() && (workdir.starts_with(dir) || dir.starts_with(workdir)) {
            return Err(Failure::usage(format!(
                "--container-workdir-path {} and {} (for --ca-cert and --auth-file) must not contain each other; choose another path, such as /workdir",
                workdir.display(),
                dir.display()
            )));
        }
        Ok(())
    }

    /// Says what is handed over, without values, and what is wrong with it.
    pub(crate) fn say(&self, context: &Context) {
        for file in &self.certificates {
            context.report.note(format_args!(
                "--ca-cert {}: {}, trusted in the build besides those of the image",
                file.path.display(),
                file.count_text()
            ));
        }
        for login in &self.logins {
            login.say(context);
        }
        self.proxies.say(context);
    }

    fn has_files(&self) -> bool {
        !self.certificates.is_empty() || !self.logins.is_empty()
    }

    /// The arguments that the script of the build gets: the directory with the files, and the
    /// variables that it may set for them; empty where there are no files.
    pub(crate) fn script_args(&self) -> [String; 2] {
        match self.has_files() {
            true => [NetworkAccess::DIR.to_owned(), self.variables.join(" ")],
            false => Default::default(),
        }
    }

    /// The variables of this process that a container gets with their values; by their names
    /// alone, since everybody on a machine may read a command line.
    pub(crate) fn passed_variables(&self) -> Vec<String> {
        self.proxies.names().map(str::to_owned).collect()
    }

    /// What keeps logins out of the output.
    pub(crate) fn masking(&self) -> Masking {
        self.masking.clone()
    }

    fn has_certificates(&self) -> bool {
        !self.certificates.is_empty()
    }

    /// The failure of a build whose container cannot read the file of this name.
    pub(crate) fn unreadable(&self, name: &str) -> anyhow::Error {
        let file = self.own_files().find(|file| file.name == name);
        let file = file.map_or_else(|| name.to_owned(), |file| file.source.display().to_string());
        Failure::general(format!(
            "the container cannot read {file}, which it got read-only: its user is not root and not the owner, or a file server keeps root out; give --transfer copy, which carries it there, or --engine-arg --user=0"
        ))
    }

    /// What to do about a server or proxy that did not let the build in.
    pub(crate) fn cure(&self, failure: NetworkFailure) -> String {
        match (failure, self.has_certificates(), self.logins.is_empty()) {
            (NetworkFailure::UnknownAuthority, false, _) => "the server's certificate is of an authority that is not trusted: give your company's with --ca-cert FILE (PEM)".to_owned(),
            (NetworkFailure::UnknownAuthority, true, _) => "the server's certificate is of an authority that --ca-cert does not have: give the file of that one, too".to_owned(),
            (NetworkFailure::Login, _, true) => "the server requires a login: give --auth-file FILE, pixi's login file or a netrc".to_owned(),
            (NetworkFailure::Login, _, false) => "the server refused: --auth-file has no login for it, or a wrong one".to_owned(),
            (NetworkFailure::ProxyLogin, ..) => "the proxy requires a login: set HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT, also with --container-env".to_owned(),
        }
    }

    /// The same in a container of the caller.
    pub(crate) fn cure_in_container(failure: NetworkFailure) -> String {
        match failure {
            NetworkFailure::UnknownAuthority => "the server's certificate is of an authority that the container does not trust: put a file with this and all other needed certificates into the container, and give --container-env SSL_CERT_FILE=PATH".to_owned(),
            NetworkFailure::Login => "the server requires a login: put pixi's login file or a netrc into the container, and give --container-env RATTLER_AUTH_FILE=PATH or NETRC=PATH".to_owned(),
            NetworkFailure::ProxyLogin => "the proxy requires a login: give --container-env HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT".to_owned(),
        }
    }

    fn own_files(&self) -> impl Iterator<Item = AccessFile<'_>> {
        let certificates = self
            .certificates
            .iter()
            .enumerate()
            .map(|(number, file)| AccessFile {
                name: format!("ca-{}.pem", number + 1),
                source: file.path.clone(),
                content: &file.content,
            });
        certificates.chain(self.logins.iter().map(|login| AccessFile {
            name: login.kind.name().to_owned(),
            source: login.path.clone(),
            content: &login.content,
        }))
    }

    /// The files as mounts of this machine's, `out` being the out directory of the container.
    pub(crate) fn mounts(&self, out: &Path) -> Vec<Mount> {
        let mount = |source: PathBuf, name: &str| {
            Mount::read_only(source, format!("{}/{name}", NetworkAccess::DIR))
        };
        let own = self.own_files().map(|file| mount(file.source, &file.name));
        let roots = self
            .has_certificates()
            .then(|| mount(out.join(ROOTS), "roots.pem"));
        own.chain(roots).collect()
    }

    /// The files by their names and with their content, for a volume.
    pub(crate) fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let own = self.own_files();
        let own = own.map(|file| (file.name.into(), file.content.to_vec()));
        let roots = self.has_certificates().then(certificates::built_in);
        own.chain(roots.map(|text| ("roots.pem".into(), text.into_bytes())))
            .collect()
    }

    /// Lays what [`NetworkAccess::mounts`] expects in the out directory.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(crate) fn write_roots(&self, out: &Path) -> anyhow::Result<Option<RootsFile>> {
        if !self.has_certificates() {
            return Ok(None);
        }
        let lay = || {
            let dir = UntrustedDir::open(out)?;
            let mut file = dir.create_file(ROOTS)?;
            // The container may have a user that is not root, whatever the caller's umask.
            file.set_permissions(Permissions::from_mode(0o644))?;
            file.write_all(certificates::built_in().as_bytes())?;
            io::Result::Ok(RootsFile(dir))
        };
        lay()
            .map(Some)
            .with_context(|| format!("{} cannot be written", out.join(ROOTS).display()))
    }
}

/// The authorities in the out directory; removed with this value.
pub(crate) struct RootsFile(UntrustedDir);

impl Drop for RootsFile {
    fn drop(&mut self) {
        let _ = self.0.remove(ROOTS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network_access::login_file::LoginKind;

    #[test]
    fn a_container_gets_nothing_of_what_there_is_none_of() {
        let access = NetworkAccess::default();
        assert_eq!(access.script_args(), [String::new(), String::new()]);
        assert!(access.mounts(Path::new("/o")).is_empty() && access.contents().is_empty());
        assert!(access.passed_variables().is_empty());
        let dir = tempfile::tempdir().unwrap();
        assert!(access.write_roots(dir.path()).unwrap().is_none());
        let inside = ContainerPath::new("x", "/run/pixi-offline".as_ref()).unwrap();
        access.require_apart(&inside, &[]).unwrap();
    }

    #[test]
    fn kinds_of_logins_have_names_that_no_certificate_has() {
        for kind in [LoginKind::Pixi, LoginKind::Netrc] {
            assert!(!kind.name().starts_with("ca-"));
        }
    }
}
