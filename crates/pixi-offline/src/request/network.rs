//! What a build needs to reach what it fetches.

use std::path::PathBuf;

use clap::Args;

/// Certificates and logins for a build, as they are typed.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Network of the build")]
pub struct NetworkOptions {
    /// Trust the certificate authorities of this file (PEM), too, where the build fetches something
    /// (repeatable)
    #[arg(long, value_name = "FILE")]
    pub ca_cert: Vec<PathBuf>,

    /// Log in with this file where the build fetches something: pixi's login file (JSON) for channels
    /// and package indexes, or a netrc for these and for git; one of each can be given
    #[arg(long, value_name = "FILE")]
    pub auth_file: Vec<PathBuf>,
}

impl NetworkOptions {
    /// Whether one of them is given.
    pub fn is_given(&self) -> bool {
        !self.ca_cert.is_empty() || !self.auth_file.is_empty()
    }

    /// The request that these options make; `passes_proxies` says whether the proxies of the
    /// caller's environment go along.
    pub fn request(self, passes_proxies: bool) -> NetworkRequest {
        NetworkRequest {
            certificates: self.ca_cert,
            logins: self.auth_file,
            passes_proxies,
        }
    }
}

/// What a build is handed to reach what it fetches; paths as they were typed.
#[derive(Debug, Clone, Default)]
pub struct NetworkRequest {
    /// Files with certificates of authorities.
    pub certificates: Vec<PathBuf>,
    /// Files with logins.
    pub logins: Vec<PathBuf>,
    /// Whether the proxies of the caller's environment go along.
    pub passes_proxies: bool,
}

impl NetworkRequest {
    /// The files.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.certificates.iter().chain(&self.logins)
    }
}
