//! Files that are a finding by their name.
//!
//! Only names whose files exist to hold a secret. `.npmrc`, `.condarc`,
//! `pip.conf`, `.my.cnf`, `.docker/config.json`, `*.pem` and `*.key` mostly hold
//! settings or certificates: they are judged by their content.

use std::path::Path;

const PRIVATE_KEY: &str = "private key";
const KEY_STORE: &str = "store of keys or passwords";
const LOGIN: &str = "login file";
const CLOUD: &str = "credentials of a cloud";
const REGISTRY: &str = "credentials of a registry";
const VARIABLES: &str = "file of environment variables";
const STATE: &str = "state of Terraform, which holds secrets";

/// Last components, in lower case.
const NAMES: &[(&str, &str)] = &[
    (".env", VARIABLES),
    ("id_rsa", PRIVATE_KEY),
    ("id_dsa", PRIVATE_KEY),
    ("id_ecdsa", PRIVATE_KEY),
    ("id_ecdsa_sk", PRIVATE_KEY),
    ("id_ed25519", PRIVATE_KEY),
    ("id_ed25519_sk", PRIVATE_KEY),
    ("secring.gpg", PRIVATE_KEY),
    (".netrc", LOGIN),
    ("_netrc", LOGIN),
    (".git-credentials", LOGIN),
    (".pgpass", LOGIN),
    (".mylogin.cnf", LOGIN),
    (".htpasswd", LOGIN),
    (".vault-token", LOGIN),
    (".vault_pass", LOGIN),
    (".vault_pass.txt", LOGIN),
    (".smbcredentials", LOGIN),
    (".pypirc", REGISTRY),
    (".dockercfg", REGISTRY),
    (".dockerconfigjson", REGISTRY),
    ("application_default_credentials.json", CLOUD),
    (".s3cfg", CLOUD),
    (".boto", CLOUD),
    (".databrickscfg", CLOUD),
    ("rclone.conf", CLOUD),
    ("kaggle.json", CLOUD),
    ("kubeconfig", CLOUD),
    (".terraformrc", CLOUD),
    ("credentials.tfrc.json", CLOUD),
];

/// Ends of last components, in lower case.
const ENDS: &[(&str, &str)] = &[
    (".p12", KEY_STORE),
    (".pfx", KEY_STORE),
    (".jks", KEY_STORE),
    (".jceks", KEY_STORE),
    (".keystore", KEY_STORE),
    (".kdb", KEY_STORE),
    (".kdbx", KEY_STORE),
    (".ppk", PRIVATE_KEY),
    (".tfstate", STATE),
    (".tfstate.backup", STATE),
    (".kubeconfig", CLOUD),
];

/// Last components, in lower case, that say enough only below their folder.
const PLACES: &[(&str, &str)] = &[
    (".aws/credentials", CLOUD),
    ("gcloud/credentials.db", CLOUD),
    ("gcloud/access_tokens.db", CLOUD),
    (".azure/accesstokens.json", CLOUD),
    (".azure/msal_token_cache.json", CLOUD),
    (".azure/msal_token_cache.bin", CLOUD),
    (".azure/service_principal_entries.json", CLOUD),
    (".kube/config", CLOUD),
    (".oci/config", CLOUD),
    (".config/hub", LOGIN),
    (".config/gh/hosts.yml", LOGIN),
    ("containers/auth.json", REGISTRY),
    (".rattler/credentials.json", REGISTRY),
    ("rattler/credentials.json", REGISTRY),
    (".cargo/credentials", REGISTRY),
    (".cargo/credentials.toml", REGISTRY),
    (".gem/credentials", REGISTRY),
    (".composer/auth.json", REGISTRY),
    (".huggingface/token", REGISTRY),
    ("huggingface/token", REGISTRY),
    ("huggingface/stored_tokens", REGISTRY),
    (".streamlit/secrets.toml", VARIABLES),
];

/// Ends of names beginning with `.env.` that mean a pattern to copy.
const MODELS: [&str; 4] = [".example", ".sample", ".template", ".dist"];

/// What the name of a file says it holds; the path may be relative. `None` for
/// most files.
pub fn kind_of_name(file: &Path) -> Option<&'static str> {
    let path = file.to_string_lossy().to_lowercase();
    let name = path.rsplit('/').next().unwrap_or(&path);
    if name.starts_with(".env.") && !MODELS.iter().any(|end| name.ends_with(end)) {
        return Some(VARIABLES);
    }
    let listed = |table: &[(&str, &'static str)], fits: &dyn Fn(&str) -> bool| {
        let found = table.iter().find(|(text, _)| fits(text));
        found.map(|(_, kind)| *kind)
    };
    listed(NAMES, &|text| name == text)
        .or_else(|| {
            listed(ENDS, &|text| {
                name.len() > text.len() && name.ends_with(text)
            })
        })
        .or_else(|| {
            listed(PLACES, &|text| {
                path.strip_suffix(text)
                    .is_some_and(|before| before.is_empty() || before.ends_with('/'))
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_found(path: &str) -> bool {
        kind_of_name(Path::new(path)).is_some()
    }

    #[test]
    fn names_that_say_enough() {
        for path in [
            ".env",
            "a/.env.local",
            "a/.env.production",
            ".ssh/id_ed25519",
            "certs/Server.P12",
            "home/.aws/credentials",
            ".aws/credentials",
            ".config/containers/auth.json",
            "prod.tfstate",
        ] {
            assert!(is_found(path), "{path}");
        }
    }

    #[test]
    fn names_that_do_not() {
        for path in [
            ".env.example",
            ".env.local.sample",
            ".env.template",
            ".envrc",
            ".env.d/x",
            "id_rsa.pub",
            "server.pem",
            "server.key",
            "credentials",
            "xaws/credentials",
            "x.aws/credentials",
            "auth.json",
            "credentials.json",
            ".npmrc",
            ".condarc",
            ".p12",
            "config",
        ] {
            assert!(!is_found(path), "{path}");
        }
    }
}
