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

/// Last components, in lower case, divided by spaces.
const NAMES: &[(&str, &str)] = &[
    (VARIABLES, ".env"),
    (
        PRIVATE_KEY,
        "id_rsa id_dsa id_ecdsa id_ecdsa_sk id_ed25519 id_ed25519_sk secring.gpg",
    ),
    (
        LOGIN,
        ".netrc _netrc .git-credentials .pgpass .mylogin.cnf .htpasswd .vault-token .vault_pass \
         .vault_pass.txt .smbcredentials",
    ),
    (REGISTRY, ".pypirc .dockercfg .dockerconfigjson"),
    (
        CLOUD,
        "application_default_credentials.json .s3cfg .boto .databrickscfg rclone.conf \
         kaggle.json kubeconfig .terraformrc credentials.tfrc.json",
    ),
];

/// Ends of last components, in lower case.
const ENDS: &[(&str, &str)] = &[
    (KEY_STORE, ".p12 .pfx .jks .jceks .keystore .kdb .kdbx"),
    (PRIVATE_KEY, ".ppk"),
    (STATE, ".tfstate .tfstate.backup"),
    (CLOUD, ".kubeconfig"),
];

/// Last components, in lower case, that say enough only below their directory.
const PLACES: &[(&str, &str)] = &[
    (
        CLOUD,
        ".aws/credentials gcloud/credentials.db gcloud/access_tokens.db \
         .azure/accesstokens.json .azure/msal_token_cache.json .azure/msal_token_cache.bin \
         .azure/service_principal_entries.json .kube/config .oci/config",
    ),
    (LOGIN, ".config/hub .config/gh/hosts.yml"),
    (
        REGISTRY,
        "containers/auth.json .rattler/credentials.json rattler/credentials.json \
         .cargo/credentials .cargo/credentials.toml .gem/credentials .composer/auth.json \
         .huggingface/token huggingface/token huggingface/stored_tokens",
    ),
    (VARIABLES, ".streamlit/secrets.toml"),
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
    let listed = |table: &[(&'static str, &str)], fits: &dyn Fn(&str) -> bool| {
        let mut kinds = table.iter();
        let found = kinds.find(|(_, texts)| texts.split(' ').any(fits));
        found.map(|(kind, _)| *kind)
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
