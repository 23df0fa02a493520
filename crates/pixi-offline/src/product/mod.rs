//! The deliverable: what is generated into a product.
//!
//! In: the variables that the person wants exported, and the facts that the
//! product compares with the place where it is installed. Out: `envs.sh` and
//! `bootstrap-project.sh`. This directory knows no workdir and no engine; copying
//! project, resources and cache is staging's.

mod facts;
mod user_packages;

use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;

use crate::layout::Product;
use crate::quote::shell_quote;
use crate::request::ProductVariable;

pub use facts::Facts;

/// The settings that every product has; the person's own follow.
const ENVIRONMENT_SCRIPT: &str = include_str!("envs.sh");

/// The installer; the same in every product but for the facts.
const BOOTSTRAP_SCRIPT: &str = concat!(
    include_str!("bootstrap-project.sh"),
    include_str!("bootstrap/files.sh"),
    include_str!("bootstrap/entries.sh"),
    include_str!("bootstrap/modes.sh"),
    include_str!("bootstrap/environments.sh"),
    include_str!("bootstrap/machine.sh"),
    include_str!("bootstrap/target.sh"),
    include_str!("bootstrap/copies.sh"),
    include_str!("bootstrap/install.sh"),
);

/// The mark that the installer leaves in `.pixi/` of a project before it installs there:
/// it alone reads it, to know what it installed itself.
pub const MARK: &str = "installed-by-bootstrap";

/// The lines of the installer that the facts are put between, in place of those
/// that let it be read and checked as it is.
const FACTS_BEGIN: &str = "# BEGIN FACTS\n";
const FACTS_END: &str = "# END FACTS\n";

/// The lines of `envs.sh` between which stands what only a product with a pixi of
/// its own needs.
const BUNDLED_BEGIN: &str = "# BEGIN BUNDLED PIXI\n";
const BUNDLED_END: &str = "# END BUNDLED PIXI\n";

/// The variable that leaves packages of a user's own in front of an environment's:
/// `keep` all of them, or the names of variables.
pub const USER_PACKAGES: &str = "PIXI_OFFLINE_USER_PACKAGES";

/// The line of a script that [`keep_user_packages_away`] replaces.
const USER_PACKAGES_LINE: &str = "# USER PACKAGES\n";

/// Writes `envs.sh` and `bootstrap-project.sh`, both executable, into a product
/// that has neither yet.
///
/// # Errors
///
/// When a file cannot be written.
pub fn write_scripts(
    product: &Product,
    variables: &[ProductVariable],
    facts: &Facts,
) -> anyhow::Result<()> {
    write_executable(
        &product.environment_script(),
        &environment_script(variables, facts),
    )?;
    write_executable(&product.bootstrap_script(), &bootstrap_script(facts))
}

/// Whether a directory is a product, of these commands or of the old scripts.
pub fn is_product(dir: &Path) -> bool {
    let product = Product::new(dir);
    product.cache().is_dir()
        && product.environment_script().is_file()
        && product.bootstrap_script().is_file()
}

/// The whole of `envs.sh`: bytes, since values need not be UTF-8.
fn environment_script(variables: &[ProductVariable], facts: &Facts) -> Vec<u8> {
    let (before, rest) = ENVIRONMENT_SCRIPT
        .split_once(BUNDLED_BEGIN)
        .expect("the script has the first mark");
    let (bundled, after) = rest
        .split_once(BUNDLED_END)
        .expect("the script has the second mark");
    let bundled = if facts.bundled_pixi { bundled } else { "" };
    let script = keep_user_packages_away(&[before, bundled, after].concat());
    let mut script = script.into_bytes();
    let environments = facts.environments.join(" ");
    script.extend_from_slice(b"# The environments that bootstrap-project.sh installs.\nexport PIXI_OFFLINE_ENVIRONMENTS=");
    script.extend_from_slice(&shell_quote(environments.as_bytes()));
    script.push(b'\n');
    if let Some(place) = &facts.below_root {
        script
            .extend_from_slice(b"# The project, below this product.\nexport PIXI_OFFLINE_PROJECT=");
        script.extend_from_slice(&shell_quote(place.path().as_os_str().as_bytes()));
        script.push(b'\n');
    }
    for variable in variables {
        script.extend_from_slice(format!("export {}=", variable.key()).as_bytes());
        script.extend_from_slice(&shell_quote(variable.value().as_bytes()));
        script.push(b'\n');
    }
    script
}

/// A script with the lines that keep a user's own packages away from an environment,
/// in place of its line `# USER PACKAGES`. Before that line it sets
/// `_pixi_offline_root` to a directory with environments.
pub fn keep_user_packages_away(script: &str) -> String {
    script.replace(USER_PACKAGES_LINE, &user_packages::script())
}

/// Whether this variable is one of those that the lines unset.
pub fn is_user_variable(name: &str) -> bool {
    user_packages::user_variables().contains(&name)
}

/// The whole of `bootstrap-project.sh`.
fn bootstrap_script(facts: &Facts) -> Vec<u8> {
    let (before, rest) = BOOTSTRAP_SCRIPT
        .split_once(FACTS_BEGIN)
        .expect("the script has the first mark");
    let (_, after) = rest
        .split_once(FACTS_END)
        .expect("the script has the second mark");
    [
        before.as_bytes(),
        FACTS_BEGIN.as_bytes(),
        &facts.assignments(),
        FACTS_END.as_bytes(),
        after.as_bytes(),
    ]
    .concat()
}

fn write_executable(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    let write = || {
        let mut new = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(file)?;
        new.write_all(content)?;
        // Whatever the umask is: the manifest lists it.
        new.set_permissions(fs::Permissions::from_mode(0o755))
    };
    write().with_context(|| format!("{} cannot be written", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_as_it_is_has_the_facts_of_a_product_that_knows_none() {
        let facts = Facts {
            environments: vec!["default".into()],
            ..Facts::default()
        };
        assert_eq!(
            String::from_utf8(bootstrap_script(&facts)).unwrap(),
            BOOTSTRAP_SCRIPT
        );
    }

    #[test]
    fn the_lines_on_user_packages_have_their_place() {
        assert_eq!(ENVIRONMENT_SCRIPT.matches(USER_PACKAGES_LINE).count(), 1);
        assert!(keep_user_packages_away(ENVIRONMENT_SCRIPT).contains("PYTHONNOUSERSITE='1'"));
    }
}
