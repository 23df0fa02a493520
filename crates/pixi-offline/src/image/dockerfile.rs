//! The Dockerfile, from data to text.

use std::fmt::Write as _;

use crate::evidence::Sha256Digest;
use crate::image::activation::BASE_PATH;
use crate::image::{Label, PRODUCT_DIGEST};
use crate::product::{USER_PACKAGES, is_user_variable};
use crate::request::{
    AppFolder, CopiedPath, EnvironmentName, ExposedPort, ImageReference, ImageSetting, ImageUser,
    ProjectName,
};

/// All that a Dockerfile depends on.
#[derive(Debug, Clone)]
pub struct Dockerfile {
    /// The image that has pixi.
    pub build_image: ImageReference,
    /// The image that the last one is made from.
    pub base_image: ImageReference,
    /// The project's folder in the product.
    pub project: ProjectName,
    /// The environment that goes into the image.
    pub environment: EnvironmentName,
    /// Where the project is in the image.
    pub app: AppFolder,
    /// What of the project goes into the image; empty means everything.
    pub copies: Vec<CopiedPath>,
    /// Where the product's resources go; without a place they stay out.
    pub resources: Option<AppFolder>,
    /// The digest of the product.
    pub product_digest: Sha256Digest,
    /// The labels, that of the product among them.
    pub labels: Vec<Label>,
    /// What activation sets whatever runs in the image, each with its value.
    pub activated: Vec<(String, String)>,
    /// What the build was told of the machine: `CONDA_OVERRIDE_CUDA` and its like.
    pub overrides: Vec<(String, String)>,
    /// The variables that were asked for.
    pub variables: Vec<ImageSetting>,
    /// The ports that are announced.
    pub ports: Vec<ExposedPort>,
    /// The user; else that of the base.
    pub user: Option<ImageUser>,
    /// A command for a shell in the activated environment that says whether all is well.
    pub healthcheck: Option<String>,
    /// What the image runs when nothing else is asked for.
    pub command: Vec<String>,
}

impl Dockerfile {
    /// The whole text.
    ///
    /// # Errors
    ///
    /// Exit code 2 when the project's name is not UTF-8.
    pub fn text(&self) -> anyhow::Result<String> {
        let Dockerfile {
            app, environment, ..
        } = self;
        let mut words = vec!["sh", "/pixi-offline/build.sh", self.project.as_utf8()?];
        let digest = format!("sha256:{}", self.product_digest);
        words.extend([environment.as_str(), app.as_str(), &digest]);
        words.extend(self.copies.iter().map(CopiedPath::as_str));
        let prefix = app.join(&format!(".pixi/envs/{}", environment.as_str()));
        let entrypoint = app.join(".pixi/entrypoint.sh");

        let mut text = String::from(INTRODUCTION);
        let mut line = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        // Until the last line both stages say that they are unfinished, and of which build:
        // what a build leaves without a name can be found.
        let unfinished = unfinished(&self.product_digest, "$PIXI_OFFLINE_BUILD");
        let unfinished = format!("LABEL {PRODUCT_DIGEST}=\"{unfinished}\"");
        line(&format!("FROM {} AS build", self.build_image));
        line("ARG PIXI_OFFLINE_BUILD=by-hand");
        line(&unfinished);
        let overrides = self.overrides.iter();
        let overrides: Vec<String> = overrides
            .map(|(name, value)| format!("{name}={}", quoted(value)))
            .collect();
        if !overrides.is_empty() {
            line("# What the build of the product was told of the machine.");
            line(&format!("ENV {}", overrides.join(" \\\n    ")));
        }
        line("COPY build.sh entrypoint.sh /pixi-offline/");
        line("COPY product /pixi-offline/product");
        line(&format!("RUN {}", words_in_json(&words)));
        line("");
        line(&format!("FROM {}", self.base_image));
        line("ARG PIXI_OFFLINE_BUILD=by-hand");
        line(&unfinished);
        line(&format!("WORKDIR {}", app.as_str()));
        line("# An environment holds its path: it is the same in both stages.");
        line(&format!("COPY --from=build {prefix} {prefix}"));
        line(&format!("COPY --from=build {entrypoint} {entrypoint}"));
        line(&format!(
            "COPY --from=build /pixi-offline/project {}",
            app.as_str()
        ));
        // For what is started past the entry point.
        let mut variables: Vec<String> = self
            .activated
            .iter()
            .map(|(name, value)| {
                let value = quoted(value).replace(
                    BASE_PATH,
                    "${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}",
                );
                format!("{name}={value}")
            })
            .collect();
        if let Some(resources) = &self.resources {
            line(&format!("COPY product/res {}", resources.as_str()));
            variables.push(format!("PRODUCT_RES_DIR={}", quoted(resources.as_str())));
        }
        // The entry point unsets what leads to packages of a user's own, but not these.
        let kept: Vec<&str> = self.variables.iter().map(ImageSetting::key).collect();
        let kept: Vec<&str> = kept
            .into_iter()
            .filter(|key| is_user_variable(key))
            .collect();
        let chosen = self.variables.iter().any(|one| one.key() == USER_PACKAGES);
        if !kept.is_empty() && !chosen {
            variables.push(format!("{USER_PACKAGES}={}", quoted(&kept.join(" "))));
        }
        let given = self.variables.iter();
        variables.extend(given.map(|one| format!("{}={}", one.key(), quoted(one.value()))));
        if !variables.is_empty() {
            line(&format!("ENV {}", variables.join(" \\\n    ")));
        }
        if !self.ports.is_empty() {
            let ports: Vec<&str> = self.ports.iter().map(ExposedPort::as_str).collect();
            line(&format!("EXPOSE {}", ports.join(" ")));
        }
        if let Some(user) = &self.user {
            line(&format!("USER {}", user.as_str()));
        }
        if let Some(check) = &self.healthcheck {
            // A check does not go through the entry point by itself.
            let words = [entrypoint.as_str(), "sh", "-c", check];
            line(&format!("HEALTHCHECK CMD {}", words_in_json(&words)));
        }
        line(&format!("ENTRYPOINT {}", words_in_json(&[&entrypoint])));
        if !self.command.is_empty() {
            let words: Vec<&str> = self.command.iter().map(String::as_str).collect();
            line(&format!("CMD {}", words_in_json(&words)));
        }
        let labels: Vec<String> = self
            .labels
            .iter()
            .map(|label| format!("{}={}", label.key, quoted(&label.value)))
            .collect();
        line(&format!("LABEL {}", labels.join(" \\\n      ")));
        Ok(text)
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

/// In double quotes, where a Dockerfile gives three characters a meaning.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// Words in the form in which no shell reads them: one line of JSON.
fn words_in_json(words: &[&str]) -> String {
    let mut text = String::from("[");
    for (index, word) in words.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}{}", serde_json::Value::from(*word));
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn the_whole_dockerfile() {
        let os = OsStr::new;
        let dockerfile = Dockerfile {
            build_image: ImageReference::new(os("pixi:1")).unwrap(),
            base_image: ImageReference::new(os("debian:12")).unwrap(),
            project: ProjectName::new(os("my \"project\"")).unwrap(),
            environment: EnvironmentName::new(os("prod")).unwrap(),
            app: AppFolder::new("--app-dir", os("/app")).unwrap(),
            copies: vec![CopiedPath::new(os("a b")).unwrap()],
            resources: Some(AppFolder::new("--resources-dir", os("/data")).unwrap()),
            product_digest: Sha256Digest::from([0; 32]),
            labels: vec![
                Label::new("a.b", "c \"d\""),
                Label::new(crate::image::PRODUCT_DIGEST, "sha256:00"),
            ],
            activated: vec![
                ("PATH".into(), format!("/app/bin:{BASE_PATH}")),
                ("X".into(), "$y \"z\"".into()),
            ],
            overrides: vec![("CONDA_OVERRIDE_CUDA".into(), "12.4".into())],
            variables: vec![ImageSetting::variable(os("A=$x \\ \"y\" 'z'")).unwrap()],
            ports: vec![
                ExposedPort::new(os("80")).unwrap(),
                ExposedPort::new(os("53/udp")).unwrap(),
            ],
            user: Some(ImageUser::new(os("1000:1000")).unwrap()),
            healthcheck: Some("test \"$A\" = 1".to_owned()),
            command: vec!["serve".to_owned(), "a b".to_owned()],
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
# What the build of the product was told of the machine.
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
