//! `provenance.json`: how a product was made, as an in-toto statement
//! (in-toto attestation framework, Statement v1) with the predicate of SLSA
//! provenance v1 (slsa.dev/spec/v1.0/provenance).

use serde_json::{Value, json};

use crate::proof::Sha256Digest;
use crate::proof::manifest::Facts;

/// How the parameters of a build of ours are to be read; `docs/manifest.md` says
/// it. It names a format, and nothing is found there.
const BUILD_TYPE: &str = "urn:pixi-offline:make-archive-ready-product:v1";

/// Who made it: these commands, on whatever machine.
const BUILDER: &str = "urn:pixi-offline:builder";

/// A run of the command that made a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// When it was started, in the form of RFC 3339.
    pub started: Option<String>,
    /// When its product was complete, in the form of RFC 3339.
    pub finished: Option<String>,
}

/// The statement on the product with this digest.
pub fn statement(facts: &Facts, digest: &Sha256Digest, invocation: &Invocation) -> Value {
    let mut materials = Vec::new();
    if let Some(image) = &facts.build.image {
        for known in &image.repo_digests {
            if let Some((_, sha256)) = known.rsplit_once("@sha256:") {
                materials.push(json!({
                    "name": image.reference,
                    "uri": format!("docker://{known}"),
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
    }
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
