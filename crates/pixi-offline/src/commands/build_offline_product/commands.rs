//! Command lines that a person can paste to go on from where a run has ended.

use std::ffi::{OsStr, OsString};

use clap::ValueEnum as _;

use crate::commands::final_verify_product;
use crate::commands::make_product;
use crate::layout::Workdir;
use crate::product::pasteable;
use crate::project::Generated;
use crate::request::{
    Contact, ContainerPlatform, EnvironmentName, ProjectName, SecretAction, SigningOptions,
    Transfer, Verification,
};
use crate::staging::LinkMode;

/// A command line that can be pasted, put together word by word.
struct CommandLine(Vec<OsString>);

impl CommandLine {
    fn of(program: &str) -> CommandLine {
        CommandLine(vec![program.into()])
    }

    fn option(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.0.extend([name.into(), value.as_ref().to_owned()]);
    }

    fn option_if(&mut self, name: &str, value: Option<impl AsRef<OsStr>>) {
        if let Some(value) = value {
            self.option(name, value);
        }
    }

    fn flag_if(&mut self, name: &str, is_given: bool) {
        if is_given {
            self.0.push(name.into());
        }
    }

    fn signing(&mut self, signing: &SigningOptions) {
        self.option_if("--sign-key", signing.sign_key.as_ref());
        self.option_if("--sign-password-file", signing.sign_password_file.as_ref());
    }

    fn pasteable(&self) -> String {
        let words: Vec<String> = self.0.iter().map(|word| pasteable(word)).collect();
        words.join(" ")
    }
}

/// The command that makes the same product, but for the values of variables,
/// which are not shown.
pub(super) fn make_command(make: &make_product::ProductRequest) -> String {
    let mut line = CommandLine::of("make-archive-ready-product");
    line.option("--workdir", &make.workdir);
    line.option_if(
        "--project-name",
        make.project_name.as_ref().map(ProjectName::as_os_str),
    );
    line.option_if("--output", make.output.as_ref());
    line.flag_if("--force", make.force && make.output.is_some());
    for pattern in &make.excludes {
        line.option("--exclude", pattern);
    }
    line.flag_if("--drop-generated", make.generated == Generated::Drop);
    line.flag_if("--deep", make.deep);
    line.option_if("--cache", make.full_cache.then_some("full"));
    line.flag_if(
        "--bundle-pixi",
        make.bundle_pixi.is_wanted_of(&Workdir::new(&make.workdir)),
    );
    line.option_if("--contact", make.contact.as_ref().map(Contact::as_str));
    line.flag_if("--move-cache", make.move_cache);
    let mode = make.link_mode.to_possible_value();
    let mode = mode.filter(|_| make.link_mode != LinkMode::default());
    line.option_if("--link-mode", mode.as_ref().map(|mode| mode.get_name()));
    line.option_if(
        "--secrets",
        match make.secrets.action {
            SecretAction::Warn => None,
            SecretAction::Deny => Some("deny"),
            SecretAction::Off => Some("off"),
        },
    );
    for pattern in &make.secrets.known {
        line.option("--allow-secret", pattern);
    }
    line.signing(&make.signing);
    line.pasteable()
}

/// The command of a final verification, but for the values of variables.
pub(super) fn verify_command(verify: &final_verify_product::VerifyRequest) -> String {
    let mut line = CommandLine::of("final-verify-product");
    line.option("--image", verify.image.as_str());
    line.option("--product-dir", &verify.product_dir);
    line.option("--out-dir", &verify.out_dir);
    line.option_if(
        "--project-name",
        verify.project_name.as_ref().map(ProjectName::as_os_str),
    );
    line.flag_if("--attach", verify.attach);
    line.option_if("--engine", verify.engine.as_ref());
    line.option_if(
        "--timeout",
        verify.timeout.as_ref().map(ToString::to_string),
    );
    line.option_if(
        "--container-platform",
        verify.platform.as_ref().map(ContainerPlatform::as_str),
    );
    let transfer = verify.transfer.to_possible_value();
    let transfer = transfer.filter(|_| verify.transfer != Transfer::default());
    line.option_if("--transfer", transfer.as_ref().map(|how| how.get_name()));
    line.signing(&verify.signing);
    line.option_if(
        "--verify-environment",
        verify
            .verify_environment
            .as_ref()
            .map(EnvironmentName::as_str),
    );
    for text in verify.expectations.output() {
        line.option("--expect-output", text);
    }
    for file in verify.expectations.files() {
        line.option("--expect-file", file);
    }
    match &verify.verification {
        Verification::None => {}
        Verification::Task(task) => line.option("--verify-task", task),
        Verification::Command(words) => {
            line.option("--verify-run", "--");
            line.0.extend(words.iter().map(OsString::from));
        }
    }
    line.pasteable()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Expectations, ImageReference, SecretPolicy};

    #[test]
    fn the_command_to_go_on_with_has_every_option_of_the_verification() {
        let words = ["python", "-c", "print('a b')"].map(OsString::from);
        let verification = Verification::new(None, Some(&words)).unwrap();
        let request = final_verify_product::VerifyRequest {
            image: ImageReference::new(OsStr::new("img:1")).unwrap(),
            platform: Some(ContainerPlatform::new(OsStr::new("linux/amd64")).unwrap()),
            product_dir: "/w d/product".into(),
            out_dir: "/w d/proof".into(),
            project_name: Some(ProjectName::new(OsStr::new("demo")).unwrap()),
            in_place: false,
            verify_environment: Some(EnvironmentName::new(OsStr::new("test")).unwrap()),
            attach: true,
            verify_key: None,
            secrets: SecretPolicy::off(),
            signing: SigningOptions {
                sign_key: Some("key".into()),
                sign_password_file: None,
            },
            expectations: Expectations::new(&["a".into()], &["b".into()], &verification).unwrap(),
            verification,
            engine: Some("podman".into()),
            timeout: None,
            variables: Vec::new(),
            transfer: Transfer::Copy,
        };
        assert_eq!(
            verify_command(&request),
            "final-verify-product --image img:1 --product-dir '/w d/product' --out-dir '/w d/proof' \
             --project-name demo --attach --engine podman --container-platform linux/amd64 --transfer copy \
             --sign-key key --verify-environment test --expect-output a --expect-file b \
             --verify-run -- python -c 'print('\\''a b'\\'')'"
        );
    }
}
