//! `README.txt` of an update: what it is, and what to type at the target.

use pixi_offline::byte_size::ByteSize;
use pixi_offline::counted;
use pixi_offline::escape::one_line;

use crate::description::{Description, ProductFacts};

/// The text.
pub(crate) fn text(update: &Description) -> String {
    let mut text = format!(
        "Update of {} to {}\n\nTurns a product that was delivered into the new one:\n",
        one_line(&update.project),
        named(&update.to)
    );
    for base in &update.from {
        text.push_str(&format!("  from {}\n", named(&base.product)));
    }
    text.push_str(&format!("  to   {}\n\n", named(&update.to)));
    text.push_str(&format!(
        "It holds the {} that {} ({}). Names, modes and links are\nin plan/, so any file system can carry it.\n",
        counted::counted(update.files, "file", "files"),
        match update.from.len() {
            1 => "this product lacks",
            _ => "one or more of these products lack",
        },
        ByteSize(update.bytes)
    ));
    text.push_str(STEPS);
    text
}

/// Version and digest of a product.
fn named(product: &ProductFacts) -> String {
    match &product.version {
        Some(version) => format!("{} ({})", one_line(version), product.product_digest),
        None => product.product_digest.clone(),
    }
}

const STEPS: &str = "
Needs      Linux, bash 4.2 or later, coreutils, and room for the new product beside
           the old one.
Check      If there is a file SHA256SUMS.minisig, check it first, with the public
           key of the sender: minisign -V -p KEY.pub -m SHA256SUMS
           sha256sum -c --quiet SHA256SUMS
Apply      ./apply-update.sh /path/of/the/product
           Where files cannot be executed: bash apply-update.sh /path/of/the/product
           It compares this update, the old product and then the new one with their
           digests. The old product stays beside the new one.
Install    cd /path/of/the/product && ./bootstrap-project.sh
Options    ./apply-update.sh --help
Contents   files/: what is new, each file named by its sha256. plan/: what the script
           reads. product/: manifest.json, SHA256SUMS and the other lists of the new
           product. update.json: this text for programs.
";
