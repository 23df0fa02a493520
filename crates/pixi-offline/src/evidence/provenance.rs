//! `provenance.json`: how a product was made, as an in-toto statement
//! (in-toto attestation framework, Statement v1) with the predicate of SLSA
//! provenance v1 (slsa.dev/spec/v1.0/provenance).

use serde_json::{Value, json};

use crate::container::EngineVersion;
use crate::evidence::Sha256Digest;
use crate::evidence::built::{BuiltFacts, SourceFacts};
use crate::evidence::manifest::{BuildInfo, ManifestFacts, Tool};
use crate::layout::Product;

/// How the parameters of a build are to be read; `docs/reference/evidence.md` says
/// it. It names a format, and nothing is found there.
const BUILD_TYPE: &str = "urn:pixi-offline:make-archive-ready-product:v1";

/// Who made it: these commands, on whatever machine.
const BUILDER: &str = "urn:pixi-offline:builder";

/// What an image's address in a registry starts with.
const IMAGE: &str = "docker://";

/// A run of the command that made a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// When it was started, in the form of RFC 3339.
    pub started: Option<String>,
    /// When its product was complete, in the form of RFC 3339.
    pub finished: Option<String>,
}

/// Adds to what a manifest says of a build what only its statement says: the engine, and
/// the image's digests in registries.
pub fn complete(build: &mut BuildInfo, statement: &Value) {
    let predicate = &statement["predicate"];
    let versions = predicate["runDetails"]["builder"]["version"].as_object();
    let engine = versions.into_iter().flatten().find(|(name, _)| {
        // The others that a statement names.
        ![Tool::this().name.as_str(), "pixi"].contains(&name.as_str())
    });
    if let Some((client, version)) = engine
        && build.engine.is_none()
    {
        build.engine = Some(EngineVersion {
            client: client.clone(),
            version: version.as_str().unwrap_or_default().to_owned(),
            ..EngineVersion::default()
        });
    }
    let materials = predicate["buildDefinition"]["resolvedDependencies"].as_array();
    let known = materials.into_iter().flatten().filter_map(|material| {
        let uri = material["uri"].as_str()?;
        uri.strip_prefix(IMAGE).map(str::to_owned)
    });
    if let Some(image) = build.image.as_mut()
        && image.repo_digests.is_empty()
    {
        image.repo_digests.extend(known);
    }
}

/// When the product with this digest was complete, in the form of RFC 3339, where a statement on it
/// has that.
pub fn finished<'a>(statement: &'a Value, digest: &Sha256Digest) -> Option<&'a str> {
    let named = statement["subject"][0]["digest"]["sha256"].as_str()?;
    let finished = &statement["predicate"]["runDetails"]["metadata"]["finishedOn"];
    finished.as_str().filter(|_| named == digest.to_string())
}

/// The statement on the product with this digest.
pub fn statement(facts: &ManifestFacts, digest: &Sha256Digest, invocation: &Invocation) -> Value {
    let mut materials = Vec::new();
    if let Some(image) = &facts.build.image {
        for known in &image.repo_digests {
            if let Some((_, sha256)) = known.rsplit_once("@sha256:") {
                materials.push(json!({
                    "name": image.reference,
                    "uri": format!("{IMAGE}{known}"),
                    "digest": {"sha256": sha256},
                }));
            }
        }
        if let Some(sha256) = image.id.strip_prefix("sha256:") {
            materials.push(json!({
                "name": format!("configuration of the image {}", image.reference),
                "digest": {"sha256": sha256},
                "annotations": {"platform": image.platform},
            }));
        }
    }
    if let Some(lock) = &facts.project.lock {
        materials.push(json!({"name": "pixi.lock", "digest": {"sha256": lock.sha256}}));
        if let Some(original) = &lock.original {
            materials.push(json!({
                "name": Product::ORIGINAL_LOCK,
                "digest": {"sha256": original.sha256},
                "annotations": {"why": original.why},
            }));
        }
    }
    materials.extend(facts.built.iter().flat_map(sources));
    let manifest = &facts.project.manifest;
    materials.push(json!({"name": manifest.name, "digest": {"sha256": manifest.sha256}}));
    if let Some(git) = &facts.project.git {
        materials.push(json!({
            "name": "git commit of the project",
            "digest": {"gitCommit": git.commit},
            "annotations": {"dirty": git.dirty},
        }));
    }
    let mut versions = json!({ &facts.tool.name: facts.tool.version });
    if let Some(pixi) = &facts.build.pixi {
        versions["pixi"] = pixi.as_str().into();
    }
    if let Some(engine) = &facts.build.engine {
        versions[&engine.client] = engine.version.as_str().into();
    }
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": facts.project.name, "digest": {"sha256": digest}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "project": facts.project.name,
                    "environments": facts.environments,
                    "platform": facts.platform,
                    "excludes": facts.build.excludes,
                    "wholeCache": facts.packages.whole_cache,
                    "bundledPixi": facts.packages.bundled_pixi,
                },
                "internalParameters": {"overrides": facts.virtual_packages.overrides},
                "resolvedDependencies": materials,
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": versions},
                "metadata": {
                    "invocationId": format!("sha256:{digest}"),
                    "startedOn": invocation.started,
                    "finishedOn": invocation.finished,
                },
            },
        },
    })
}

/// What a package was built from, and the archive that it was built into.
fn sources(built: &BuiltFacts) -> Vec<Value> {
    let archive = json!({
        "name": format!("{}, built from source", built.file),
        "digest": {"sha256": built.sha256},
        "annotations": {
            "backend": built.backend,
            "backendVersion": built.backend_version,
            "environments": built.environments,
        },
    });
    let place = built.build_source.as_ref().unwrap_or(&built.source);
    let mut source = json!({"name": format!("source of {}: {}", built.name, place.shown())});
    match place {
        SourceFacts::Git { git, commit } => {
            source["uri"] = format!("git+{git}").into();
            source["digest"] = json!({"gitCommit": commit});
        }
        SourceFacts::Url { url } => source["uri"] = url.as_str().into(),
        SourceFacts::Path { .. } => {}
    }
    if let Some(sha256) = &built.source_sha256 {
        source["digest"] = json!({"sha256": sha256});
    }
    vec![source, archive]
}

#[cfg(test)]
mod tests {
    use crate::container::Image;

    use super::*;

    #[test]
    fn what_a_manifest_does_not_say_of_a_build_comes_back_from_the_statement() {
        let digest = format!("localhost/img@sha256:{}", "ab".repeat(32));
        let build = BuildInfo {
            image: Some(Image {
                reference: "img:1".into(),
                id: format!("sha256:{}", "cd".repeat(32)),
                repo_digests: vec![digest.clone()],
                platform: "linux/amd64".into(),
            }),
            engine: Some(EngineVersion {
                client: "podman".into(),
                version: "4.3.1".into(),
                ..EngineVersion::default()
            }),
            pixi: Some("0.77.0".into()),
            tested: Vec::new(),
            excludes: Vec::new(),
        };
        let mut read: BuildInfo =
            serde_json::from_value(serde_json::to_value(&build).unwrap()).unwrap();
        assert_eq!(read.engine, None);
        assert!(read.image.as_ref().unwrap().repo_digests.is_empty());
        let versions = json!({"pixi": "0.77.0", "pixi-offline": "0.1.0", "podman": "4.3.1"});
        let materials = json!([{"name": "pixi.lock"}, {"uri": format!("docker://{digest}")}]);
        let statement = json!({"predicate": {
            "buildDefinition": {"resolvedDependencies": materials},
            "runDetails": {"builder": {"version": versions}},
        }});
        complete(&mut read, &statement);
        assert_eq!(read, build);
        complete(&mut read, &json!({}));
        assert_eq!(read, build);
    }
}
