//! The release build.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use duct::cmd;

/// The commands.
pub const COMMANDS: [&str; 10] = [
    "build-offline-product",
    "compare-products",
    "create-workdir-from-container",
    "create-workdir-from-host",
    "make-archive-ready-product",
    "final-verify-product",
    "make-product-update",
    "make-production-image",
    "pack-product",
    "pixi-offline",
];

/// The package of a command: that of its name, but for the one whose name the core has.
fn package(command: &str) -> &str {
    match command {
        "pixi-offline" => "pixi-offline-cli",
        _ => command,
    }
}

/// Builds the commands for release, and returns their directory; `more` packages go
/// there too.
///
/// # Errors
/// When cargo fails.
pub fn release(more: &[&str]) -> anyhow::Result<PathBuf> {
    let root = workspace();
    // With the engine that tests play with.
    let packages = COMMANDS.iter().map(|command| package(command));
    let packages = packages.chain(["fake-engine"]).chain(more.iter().copied());
    let packages = packages.flat_map(|package| ["--package", package]);
    let args = [
        "build",
        "--release",
        "--message-format",
        "json-render-diagnostics",
    ];
    let build = cmd(cargo(), args.into_iter().chain(packages))
        .dir(&root)
        .stdout_capture()
        .run()
        .context("the release build failed")?;
    // The directory depends on target and configuration: cargo says where it is.
    String::from_utf8(build.stdout)?
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "make-archive-ready-product")
        .find_map(|message| {
            Some(
                Path::new(message["executable"].as_str()?)
                    .parent()?
                    .to_owned(),
            )
        })
        .context("cargo built no make-archive-ready-product")
}

/// The cargo that runs us.
pub fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// The top of the checkout.
pub fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_owned()
}
