//! The Dockerfile, from data to text.

use std::fmt::Write as _;

use pixi_offline::evidence::Sha256Digest;
use pixi_offline::layout::ProjectPlace;
use pixi_offline::product::{USER_PACKAGES, is_user_variable};
use pixi_offline::request::{EnvironmentName, ImageReference};

use crate::activation::BASE_PATH;
use crate::labels::PRODUCT_DIGEST;
use crate::request::{AppDir, CopiedPath, ExposedPort, ImageRequest, ImageSetting};

/// All that a Dockerfile depends on.
#[derive(Debug)]
pub struct Dockerfile<'a> {
    /// What was asked for.
    pub request: &'a ImageRequest,
    /// The image that the environment is installed in.
    pub build_image: &'a ImageReference,
    /// Where the project is in the product.
    pub project: &'a ProjectPlace,
    /// Where it is in the image.
    pub project_dir: &'a AppDir,
    /// The environment that goes into the image.
    pub environment: &'a EnvironmentName,
    /// The digest of the product.
    pub product_digest: Sha256Digest,
    /// The labels, that of the product among them.
    pub labels: Vec<ImageSetting>,
    /// What activation sets whatever runs in the image, each with its value.
    pub activated: Vec<(String, String)>,
    /// Overridden virtual packages of the build: `CONDA_OVERRIDE_CUDA` and its like.
    pub overrides: Vec<(String, String)>,
}

impl Dockerfile<'_> {
    /// The whole text.
    ///
    /// # Errors
    ///
    /// Exit code 2 when the project's name is not UTF-8.
    pub fn text(&self) -> anyhow::Result<String> {
        let lines = [self.build_stage()?, self.last_stage()].concat();
        Ok(format!("{INTRODUCTION}{}\n", lines.join("\n")))
    }

    fn build_stage(&self) -> anyhow::Result<Vec<String>> {
        let digest = format!("sha256:{}", self.product_digest);
        let project = self.project.as_utf8()?;
        let mut args = vec!["sh", "/pixi-offline/build.sh", &project];
        args.extend([
            self.environment.as_str(),
            self.request.app.as_str(),
            &digest,
        ]);
        args.extend(self.request.copies.iter().map(CopiedPath::as_str));
        let mut lines = vec![format!("FROM {} AS build", self.build_image)];
        lines.extend(self.unfinished());
        if !self.overrides.is_empty() {
            lines.push("# Overridden virtual packages of the build of the product.".to_owned());
            let overrides = self.overrides.iter();
            let overrides: Vec<String> = overrides.map(|(key, value)| set(key, value)).collect();
            lines.push(instruction("ENV", &overrides));
        }
        lines.extend([
            "COPY build.sh entrypoint.sh /pixi-offline/".to_owned(),
            "COPY product /pixi-offline/product".to_owned(),
            format!("RUN {}", json_array(&args)),
            String::new(),
        ]);
        Ok(lines)
    }

    fn last_stage(&self) -> Vec<String> {
        let request = self.request;
        let app = request.app.as_str();
        let project = self.project_dir;
        let prefix = project.join(&format!(".pixi/envs/{}", self.environment.as_str()));
        let entrypoint = project.join(".pixi/entrypoint.sh");
        let mut lines = vec![format!("FROM {}", request.base_image)];
        lines.extend(self.unfinished());
        lines.extend([
            format!("WORKDIR {}", project.as_str()),
            "# An environment holds its path: it is the same in both stages.".to_owned(),
            format!("COPY --from=build {prefix} {prefix}"),
            format!("COPY --from=build {entrypoint} {entrypoint}"),
            format!("COPY --from=build /pixi-offline/project {app}"),
        ]);
        if let Some(resources) = &request.resources {
            lines.push(format!("COPY product/res {}", resources.as_str()));
        }
        let variables = self.variables();
        if !variables.is_empty() {
            lines.push(instruction("ENV", &variables));
        }
        if !request.ports.is_empty() {
            let ports: Vec<&str> = request.ports.iter().map(ExposedPort::as_str).collect();
            lines.push(format!("EXPOSE {}", ports.join(" ")));
        }
        if let Some(user) = &request.user {
            lines.push(format!("USER {}", user.as_str()));
        }
        if let Some(check) = &request.healthcheck {
            // A check does not go through the entry point by itself.
            let args = [entrypoint.as_str(), "sh", "-c", check];
            lines.push(format!("HEALTHCHECK CMD {}", json_array(&args)));
        }
        lines.push(format!("ENTRYPOINT {}", json_array(&[&entrypoint])));
        if !request.command.is_empty() {
            let args: Vec<&str> = request.command.iter().map(String::as_str).collect();
            lines.push(format!("CMD {}", json_array(&args)));
        }
        let labels = self.labels.iter();
        let labels: Vec<String> = labels.map(|label| set(&label.key, &label.value)).collect();
        lines.push(instruction("LABEL", &labels));
        lines
    }

    /// Until the last line both stages say that they are unfinished, and of which build:
    /// what a build leaves without a name can be found.
    fn unfinished(&self) -> [String; 2] {
        let value = unfinished(&self.product_digest, "$PIXI_OFFLINE_BUILD");
        [
            "ARG PIXI_OFFLINE_BUILD=by-hand".to_owned(),
            format!("LABEL {PRODUCT_DIGEST}=\"{value}\""),
        ]
    }

    /// The variables of the image, for what is started past the entry point too.
    fn variables(&self) -> Vec<String> {
        const PATH: &str = "${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}";
        let activated = self.activated.iter();
        let mut variables: Vec<String> = activated
            .map(|(key, value)| set(key, value).replace(BASE_PATH, PATH))
            .collect();
        if let Some(resources) = &self.request.resources {
            variables.push(set("PRODUCT_RES_DIR", resources.as_str()));
        }
        // The entry point unsets what leads to packages of a user's own, but not these.
        let given = &self.request.variables;
        let kept: Vec<&str> = given.iter().map(|one| one.key.as_str()).collect();
        let chosen = kept.contains(&USER_PACKAGES);
        let kept: Vec<&str> = kept
            .into_iter()
            .filter(|key| is_user_variable(key))
            .collect();
        if !kept.is_empty() && !chosen {
            variables.push(set(USER_PACKAGES, &kept.join(" ")));
        }
        variables.extend(given.iter().map(|one| set(&one.key, &one.value)));
        variables
    }
}

/// What stands in place of the product's digest in an image that is not finished.
pub fn unfinished(product: &Sha256Digest, build: &str) -> String {
    format!("unfinished {build} sha256:{product}")
}

/// How it is used by hand.
const INTRODUCTION: &str = "\
# From a product to an image without pixi. Beside this file: build.sh, entrypoint.sh,
# .dockerignore and the product, as product/, which must be the one whose digest stands
# below. No step needs a network:
#   docker build --network none --tag NAME .

";

/// An instruction with settings, each on a line.
fn instruction(name: &str, settings: &[String]) -> String {
    let indent = " ".repeat(name.len() + 1);
    format!("{name} {}", settings.join(&format!(" \\\n{indent}")))
}

/// `KEY="VALUE"`: in double quotes a Dockerfile gives three characters a meaning.
fn set(key: &str, value: &str) -> String {
    let mut text = format!("{key}=\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}

/// Arguments in the form in which no shell reads them: one line of JSON.
fn json_array(args: &[&str]) -> String {
    let mut text = String::from("[");
    for (index, arg) in args.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}{}", serde_json::Value::from(*arg));
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::Path;

    use clap::Parser as _;

    use super::*;
    use crate::Options;

    #[test]
    fn the_whole_dockerfile() {
        let args = "make-production-image --product-dir p --build-image pixi:1 --base-image debian:12 \
                     --tag t --app-dir /app --resources-dir /data --expose 80 --expose 53/udp \
                     --user 1000:1000 --cmd serve";
        let args = args.split_ascii_whitespace().chain([
            "--copy",
            "a b",
            "--env",
            "A=$x \\ \"y\" 'z'",
            "--healthcheck",
            "test \"$A\" = 1",
            "--cmd",
            "a b",
        ]);
        let request = ImageRequest::try_from(Options::parse_from(args)).unwrap();
        let dockerfile = Dockerfile {
            request: &request,
            build_image: request.build_image.as_ref().unwrap(),
            project: &ProjectPlace::of_path(Path::new("my \"project\"")).unwrap(),
            project_dir: &request.app,
            environment: &EnvironmentName::new(OsStr::new("prod")).unwrap(),
            product_digest: Sha256Digest::from([0; 32]),
            labels: vec![
                ImageSetting::new("a.b", "c \"d\""),
                ImageSetting::new(PRODUCT_DIGEST, "sha256:00"),
            ],
            activated: vec![
                ("PATH".into(), format!("/app/bin:{BASE_PATH}")),
                ("X".into(), "$y \"z\"".into()),
            ],
            overrides: vec![("CONDA_OVERRIDE_CUDA".into(), "12.4".into())],
        };
        assert_eq!(
            dockerfile
                .text()
                .unwrap()
                .strip_prefix(INTRODUCTION)
                .unwrap(),
            r#"FROM pixi:1 AS build
ARG PIXI_OFFLINE_BUILD=by-hand
LABEL io.github.pixi-offline.product.digest="unfinished $PIXI_OFFLINE_BUILD sha256:0000000000000000000000000000000000000000000000000000000000000000"
# Overridden virtual packages of the build of the product.
ENV CONDA_OVERRIDE_CUDA="12.4"
COPY build.sh entrypoint.sh /pixi-offline/
COPY product /pixi-offline/product
RUN ["sh", "/pixi-offline/build.sh", "my \"project\"", "prod", "/app", "sha256:0000000000000000000000000000000000000000000000000000000000000000", "a b"]

FROM debian:12
ARG PIXI_OFFLINE_BUILD=by-hand
LABEL io.github.pixi-offline.product.digest="unfinished $PIXI_OFFLINE_BUILD sha256:0000000000000000000000000000000000000000000000000000000000000000"
WORKDIR /app
# An environment holds its path: it is the same in both stages.
COPY --from=build /app/.pixi/envs/prod /app/.pixi/envs/prod
COPY --from=build /app/.pixi/entrypoint.sh /app/.pixi/entrypoint.sh
COPY --from=build /pixi-offline/project /app
COPY product/res /data
ENV PATH="/app/bin:${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}" \
    X="\$y \"z\"" \
    PRODUCT_RES_DIR="/data" \
    A="\$x \\ \"y\" 'z'"
EXPOSE 80 53/udp
USER 1000:1000
HEALTHCHECK CMD ["/app/.pixi/entrypoint.sh", "sh", "-c", "test \"$A\" = 1"]
ENTRYPOINT ["/app/.pixi/entrypoint.sh"]
CMD ["serve", "a b"]
LABEL a.b="c \"d\"" \
      io.github.pixi-offline.product.digest="sha256:00"
"#
        );
    }
}
