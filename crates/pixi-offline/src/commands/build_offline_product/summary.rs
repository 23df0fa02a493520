//! The lines that a run ends with.

use std::path::Path;

use super::places::Places;
use super::request::ProductArchive;
use crate::byte_size::ByteSize;
use crate::commands::final_verify_product::VerifyRequest;
use crate::commands::make_product::MadeProduct;
use crate::escape::one_line;
use crate::evidence::verification::VerificationRecord;
use crate::quote::{pasteable, pasteable_line};

/// What was made and tested, a line for each, and as the last line what to type next.
pub(super) fn lines(
    product: &MadeProduct,
    record: &VerificationRecord,
    verify: &VerifyRequest,
    places: &Places,
    archive: Option<&dyn ProductArchive>,
    next: &str,
) -> String {
    let facts = &product.facts;
    let unknown = || "unknown".to_owned();
    let packages = match (facts.packages.conda, facts.packages.python) {
        (Some(conda), Some(python)) => format!("{conda} conda and {python} Python packages"),
        _ => "packages unknown".to_owned(),
    };
    let platform = facts.platform.map_or_else(unknown, |it| it.to_string());
    let lock = facts.project.lock.as_ref();
    let lock = lock.map_or_else(
        || "none".to_owned(),
        |lock| format!("sha256:{}", lock.sha256),
    );
    let included = match facts.packages.bundled_pixi {
        true => "included",
        false => "not included",
    };
    // That of the build is verified by its id; people know its name.
    let built = facts.build.image.as_ref();
    let image = record.image.as_ref().map(|image| {
        let of_build = built.filter(|built| built.id == image.id);
        of_build.unwrap_or(image)
    });
    let image = image.map_or_else(unknown, |image| one_line(&image.reference));
    let tested = match verify.verification.is_requested() {
        false => "the installation only".to_owned(),
        true => {
            let ran = record.ran.iter().find(|ran| ran.phase == "verify");
            let args = ran.map_or(&[][..], |ran| &ran.command);
            format!("the installation, and {}", one_line(&pasteable_line(args)))
        }
    };
    let mut rows = vec![
        (
            "Product",
            format!(
                "{} ({}, {packages}, {platform})",
                shown(&product.path),
                ByteSize(facts.totals.bytes)
            ),
        ),
        ("Lock", lock),
        (
            "Pixi",
            format!(
                "{} ({included})",
                facts.build.pixi.clone().unwrap_or_else(unknown)
            ),
        ),
        ("Tested", format!("without a network, in {image}: {tested}")),
        ("Logs", shown(&places.logs)),
    ];
    if let Some(archive) = archive {
        rows.insert(1, ("Archive", shown(archive.file())));
    }
    let mut text = format!("product sha256:{}\n", product.digest);
    for (name, value) in rows {
        text.push_str(&format!("{name:<9}{value}\n"));
    }
    text.push_str(&match archive {
        Some(archive) => check(archive),
        None => format!("Next: {next}"),
    });
    text
}

/// How to check what was packed, here and where it is carried to.
fn check(archive: &dyn ProductArchive) -> String {
    let list = archive.list();
    let (Some(dir), Some(name)) = (list.parent(), list.file_name()) else {
        return format!("Next: carry {}", shown(archive.file()));
    };
    format!(
        "Next: cd {} && sha256sum -c {}",
        pasteable(dir.as_os_str()),
        pasteable(name)
    )
}

fn shown(path: &Path) -> String {
    one_line(&path.display().to_string())
}
