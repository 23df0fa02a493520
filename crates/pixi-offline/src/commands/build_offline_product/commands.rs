//! Command lines that a person can paste to go on from where a run has ended.

use std::ffi::{OsStr, OsString};

use clap::ValueEnum as _;

use crate::commands::final_verify_product::VerifyRequest;
use crate::commands::make_product::{ProductChoices, ProductRequest};
use crate::layout::Workdir;
use crate::project::Generated;
use crate::quote::pasteable_line;
use crate::request::{
    Contact, ContainerPlatform, EnvironmentName, PreviousOptions, ProjectName, SecretAction,
    SigningOptions, Transfer, Verification,
};
use crate::staging::LinkMode;

/// A command line that can be pasted, put together argument by argument.
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
        let SigningOptions {
            sign_key,
            sign_password_file,
        } = signing;
        self.option_if("--sign-key", sign_key.as_ref());
        self.option_if("--sign-password-file", sign_password_file.as_ref());
    }

    fn pasteable(&self) -> String {
        pasteable_line(&self.0)
    }
}

/// The command that makes the same product, but for the values of variables,
/// which are not shown.
pub(super) fn make_command(make: &ProductRequest) -> String {
    // Without `..`: a new field has its option here, or a reason to have none.
    let ProductRequest {
        workdir,
        project_name,
        excludes,
        secrets,
        choices,
    } = make;
    let ProductChoices {
        output,
        force,
        contact,
        variables: _,
        generated,
        deep,
        full_cache,
        bundle_pixi,
        link_mode,
        move_cache,
        signing,
        previous: PreviousOptions {
            previous,
            previous_key,
        },
    } = choices;
    let mut line = CommandLine::of("make-archive-ready-product");
    line.option("--workdir", workdir);
    line.option_if(
        "--project-name",
        project_name.as_ref().map(ProjectName::as_os_str),
    );
    line.option_if("--output", output.as_ref());
    line.flag_if("--force", *force && output.is_some());
    for pattern in excludes {
        line.option("--exclude", pattern);
    }
    line.flag_if("--drop-generated", *generated == Generated::Drop);
    line.flag_if("--deep", *deep);
    line.option_if("--cache", full_cache.then_some("full"));
    line.flag_if(
        "--bundle-pixi",
        bundle_pixi.is_wanted_of(&Workdir::new(workdir)),
    );
    line.option_if("--contact", contact.as_ref().map(Contact::as_str));
    line.flag_if("--move-cache", *move_cache);
    let mode = link_mode.to_possible_value();
    let mode = mode.filter(|_| *link_mode != LinkMode::default());
    line.option_if("--link-mode", mode.as_ref().map(|mode| mode.get_name()));
    line.option_if(
        "--secrets",
        match secrets.action {
            SecretAction::Warn => None,
            SecretAction::Deny => Some("deny"),
            SecretAction::Off => Some("off"),
        },
    );
    for pattern in &secrets.known {
        line.option("--allow-secret", pattern);
    }
    line.signing(signing);
    line.option_if("--previous", previous.as_ref());
    line.option_if("--previous-key", previous_key.as_ref());
    line.pasteable()
}

/// The command of a final verification, but for the values of variables.
pub(super) fn verify_command(verify: &VerifyRequest) -> String {
    let VerifyRequest {
        image,
        platform,
        product_dir,
        out_dir,
        project_name,
        in_place,
        verify_environment,
        attach,
        verify_key,
        // What it is about was looked at in the build.
        secrets: _,
        signing,
        verification,
        expectations,
        engine,
        timeout,
        variables: _,
        gpus,
        transfer,
    } = verify;
    let mut line = CommandLine::of("final-verify-product");
    line.option("--image", image.as_str());
    line.option("--product-dir", product_dir);
    line.option("--out-dir", out_dir);
    line.option_if(
        "--project-name",
        project_name.as_ref().map(ProjectName::as_os_str),
    );
    line.flag_if("--in-place", *in_place);
    line.flag_if("--attach", *attach);
    line.option_if("--verify-key", verify_key.as_ref());
    line.option_if("--engine", engine.as_ref());
    line.option_if("--timeout", timeout.as_ref().map(ToString::to_string));
    line.option_if(
        "--container-platform",
        platform.as_ref().map(ContainerPlatform::as_str),
    );
    line.option_if("--gpus", gpus.as_ref().map(ToString::to_string));
    let how = transfer.to_possible_value();
    let how = how.filter(|_| *transfer != Transfer::default());
    line.option_if("--transfer", how.as_ref().map(|how| how.get_name()));
    line.signing(signing);
    line.option_if(
        "--verify-environment",
        verify_environment.as_ref().map(EnvironmentName::as_str),
    );
    for text in expectations.output() {
        line.option("--expect-output", text);
    }
    for file in expectations.files() {
        line.option("--expect-file", file);
    }
    match verification {
        Verification::None => {}
        Verification::Task(task) => line.option("--verify-task", task),
        Verification::Command(args) => {
            line.option("--verify-run", "--");
            line.0.extend(args.iter().map(OsString::from));
        }
    }
    line.pasteable()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Expectations, Gpus, ImageReference, SecretPolicy};

    #[test]
    fn the_command_to_go_on_with_has_every_option_of_the_verification() {
        let args = ["python", "-c", "print('a b')"].map(OsString::from);
        let verification = Verification::new(None, Some(&args)).unwrap();
        let request = VerifyRequest {
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
            gpus: Some(Gpus::All),
            transfer: Transfer::Copy,
        };
        assert_eq!(
            verify_command(&request),
            "final-verify-product --image img:1 --product-dir '/w d/product' --out-dir '/w d/proof' \
             --project-name demo --attach --engine podman --container-platform linux/amd64 --gpus all --transfer copy \
             --sign-key key --verify-environment test --expect-output a --expect-file b \
             --verify-run -- python -c 'print('\\''a b'\\'')'"
        );
    }
}
