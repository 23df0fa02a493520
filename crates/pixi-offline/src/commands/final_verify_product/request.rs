//! What a final verification is asked for.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::request::{
    ContainerPlatform, ContainerVariable, EnvironmentName, Expectations, Gpus, ImageReference,
    ProjectName, SecretPolicy, SigningOptions, TimeLimit, Transfer, Verification,
};

/// The command's name.
pub(super) const COMMAND: &str = "final-verify-product";

/// What was asked for; paths as they were typed.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    /// An image that has pixi and bash.
    pub image: ImageReference,
    /// What the image shall be for.
    pub platform: Option<ContainerPlatform>,
    /// The product.
    pub product_dir: PathBuf,
    /// Where the logs go.
    pub out_dir: PathBuf,
    /// The project's name; needed for a verification.
    pub project_name: Option<ProjectName>,
    /// Whether the product itself is installed into, as the old script did.
    pub in_place: bool,
    /// The environment to verify in; when `None`, `default` where the product
    /// installs it, else the first that it installs.
    pub verify_environment: Option<EnvironmentName>,
    /// Whether the record of the verification goes into the product.
    pub attach: bool,
    /// The key that the product must be signed with.
    pub verify_key: Option<PathBuf>,
    /// What happens to what looks like a secret in the args of the verification.
    pub secrets: SecretPolicy,
    /// What the record is signed with.
    pub signing: SigningOptions,
    /// What is run to see that it works.
    pub verification: Verification,
    /// What must hold afterwards.
    pub expectations: Expectations,
    /// The engine's client, when one was named.
    pub engine: Option<OsString>,
    /// How long each phase may take.
    pub timeout: Option<TimeLimit>,
    /// Variables for the container.
    pub variables: Vec<ContainerVariable>,
    /// The GPUs that the container gets.
    pub gpus: Option<Gpus>,
    /// How the engine reaches the product.
    pub transfer: Transfer,
}
