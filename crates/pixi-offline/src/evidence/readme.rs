//! `README.txt`: how the person at the target checks, installs and uses a product.
//!
//! In: what is known of the product. Out: text of at most 80 columns, but for commands
//! and names. The same input gives the same bytes, since `SHA256SUMS` covers the file.

use crate::byte_size::ByteSize;
use crate::container::Image;
use crate::escape::{escape, one_line};
use crate::evidence::manifest::ManifestFacts;
use crate::product::Facts;
use crate::quote::{pasteable, pasteable_line};

/// Where the text of a row begins.
const INDENT: usize = 11;

/// The longest line of prose, in characters.
const WIDTH: usize = 80;

/// The text of the file: `manifest` says what the product is, `installation` what it
/// takes to install it.
pub fn text(manifest: &ManifestFacts, installation: &Facts) -> String {
    let mut text = ReadmeText::default();
    text.paragraph(&title(manifest));
    text.blank();
    text.paragraph(
        &format!(
            "This directory holds a Pixi project and every package that it needs. It installs and runs without a network. Made by {} {}.",
            manifest.tool.name, manifest.tool.version
        ),
    );
    text.blank();
    requirements(&mut text, manifest, installation);
    steps(&mut text, manifest, installation);
    later(&mut text);
    about(&mut text, manifest);
    text.0
}

/// Name, version, git commit and platform.
fn title(manifest: &ManifestFacts) -> String {
    let mut title = one_line(&manifest.project.name);
    if let Some(version) = &manifest.project.version {
        title.push_str(&format!(" {}", one_line(version)));
    }
    if let Some(git) = &manifest.project.git {
        let changes = match git.dirty {
            Some(true) => ", with uncommitted changes",
            _ => "",
        };
        title.push_str(&format!(" (git {}{changes})", one_line(&git.commit)));
    }
    if let Some(platform) = manifest.platform {
        title.push_str(&format!(" for {platform}"));
    }
    title
}

fn requirements(text: &mut ReadmeText, manifest: &ManifestFacts, installation: &Facts) {
    let machine = match &installation.architecture {
        Some(architecture) => format!("Linux on {architecture}"),
        None => "Linux".to_owned(),
    };
    let glibc = match installation.glibc {
        Some((major, minor)) => format!(", glibc {major}.{minor} or later"),
        None => String::new(),
    };
    text.prose("Needs", &format!("{machine}{glibc}, bash, coreutils."));
    if let (Some(bytes), Some(entries)) = (installation.install_bytes, installation.install_entries)
    {
        text.prose(
            "",
            &format!(
                "{} and {entries} inodes free beside this directory's own, in a place that you can write to.",
                ByteSize(bytes)
            ),
        );
    }
    let asked: Vec<&str> = installation
        .virtual_packages
        .iter()
        .map(String::as_str)
        .filter(|asked| {
            !["__glibc", "__linux", "__unix"].contains(&asked.split(' ').next().unwrap_or_default())
        })
        .collect();
    if !asked.is_empty() {
        text.prose(
            "",
            &format!(
                "The packages require of the machine: {}.",
                one_line(&asked.join(", "))
            ),
        );
    }
    let pixi = match &installation.pixi {
        Some(version) => format!("pixi {}", one_line(version)),
        None => "pixi".to_owned(),
    };
    text.prose(
        "Pixi",
        &match (manifest.packages.bundled_pixi, &installation.pixi_linker) {
            (true, None) => format!("{pixi} is included: bin/pixi."),
            (true, Some(linker)) => format!(
                "{pixi} is included: bin/pixi. It is not static: the machine must have {} and the shared libraries of this pixi. Where it does not, bring a static one and name it with --pixi PATH.",
                one_line(linker)
            ),
            (false, _) => format!(
                "{pixi} is not included. It is one executable file: copy it to a directory on PATH, for example ~/.local/bin/pixi, or name it with --pixi PATH."
            ),
        },
    );
    text.blank();
}

/// What to type, in the order in which it is typed.
fn steps(text: &mut ReadmeText, manifest: &ManifestFacts, installation: &Facts) {
    text.command("Check", "sha256sum -c --quiet SHA256SUMS");
    text.command("", "./bootstrap-project.sh --check");
    text.prose(
        "",
        "If there is a file SHA256SUMS.minisig, check it first, with the public key of the sender: minisign -V -p KEY.pub -m SHA256SUMS",
    );
    text.command("Install", "./bootstrap-project.sh");
    text.prose(
        "",
        "Where you may only read this directory, or share it with others, add --into DIR: a copy of the project is installed in DIR, and the packages and res/ stay here. Then DIR is the directory of the next two lines.",
    );
    text.command("Use", ". ./envs.sh");
    let dir = manifest.project.dir.path();
    match dir.to_str().filter(|name| escape(name) == *name) {
        Some(_) => text.command("", &format!("cd {}", pasteable(dir.as_os_str()))),
        None => text.prose("", "and go into the directory of the project."),
    }
    match shown_command(&installation.tested) {
        Some(command) => {
            text.command("", &command);
            text.prose("", "All tasks: pixi task list");
        }
        None => text.command("", "pixi task list"),
    }
    if manifest.environments.len() > 1 {
        let names = one_line(&manifest.environments.join(", "));
        text.prose("", &format!("Environments (pixi run -e NAME …): {names}"));
    }
    text.prose("Data", "res/, and in $PRODUCT_RES_DIR after envs.sh.");
    text.blank();
}

/// What may be done with an installed product.
fn later(text: &mut ReadmeText) {
    text.prose(
        "Move",
        "Environments work only at the path where they were installed. Move or copy the whole directory, then install again at the new place.",
    );
    text.prose(
        "Carry",
        "As an archive (tar): FAT, exFAT and some network shares keep neither permissions nor links.",
    );
    text.prose(
        "Update",
        "With an update (a directory with apply-update.sh): ./apply-update.sh DIRECTORY, with the path of this directory; then install again. With a whole product: unpack it beside this one, and install it there. Then delete this one. With --into, name the same DIR: the project that is there is moved aside, not deleted.",
    );
    text.prose(
        "Remove",
        "Delete this directory. What --into installed from it keeps its environments, and loses res/; delete DIR to remove it.",
    );
    text.blank();
}

fn about(text: &mut ReadmeText, manifest: &ManifestFacts) {
    let image = manifest.build.image.as_ref();
    let image = image.map_or_else(String::new, |Image { reference, .. }| {
        format!(" in the image {}", one_line(reference))
    });
    let tested = match shown_command(&manifest.build.tested) {
        Some(command) => format!("When it was built{image}: the installation, and {command}."),
        None => format!("When it was built{image}: the installation only."),
    };
    text.prose("Tested", &tested);
    text.prose(
        "",
        "verification.json, where it is present, has the result of the test without a network; report.html shows it.",
    );
    text.prose(
        "Contents",
        "manifest.json: every file. sbom.cdx.json: every package. provenance.json: how the product was made. report.html: for the person who approves the transfer.",
    );
    if let Some(contact) = &manifest.contact {
        text.prose("Contact", contact);
    }
}

/// A command as it can be pasted; `None` where there is none, or a word of it cannot be
/// seen whole.
fn shown_command(args: &[String]) -> Option<String> {
    let is_visible = |word: &String| escape(word) == word.as_str();
    if args.is_empty() || !args.iter().all(is_visible) {
        return None;
    }
    Some(pasteable_line(args))
}

/// Rows of a label and what belongs to it.
#[derive(Default)]
struct ReadmeText(String);

impl ReadmeText {
    fn blank(&mut self) {
        self.0.push('\n');
    }

    /// A line that is pasted, and so not broken.
    fn command(&mut self, label: &str, command: &str) {
        self.0.push_str(&format!("{label:<INDENT$}{command}\n"));
    }

    /// A paragraph that begins at the left.
    fn paragraph(&mut self, text: &str) {
        self.broken(0, "", text);
    }

    /// A row of text.
    fn prose(&mut self, label: &str, text: &str) {
        self.broken(INDENT, label, text);
    }

    /// Words that are broken into lines.
    fn broken(&mut self, indent: usize, label: &str, text: &str) {
        let mut line = format!("{label:<indent$}");
        let mut is_empty = true;
        for word in text.split(' ') {
            if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.0.push_str(&line);
                self.0.push('\n');
                line = " ".repeat(indent);
                is_empty = true;
            }
            if !is_empty {
                line.push(' ');
            }
            line.push_str(word);
            is_empty = false;
        }
        self.0.push_str(&line);
        self.0.push('\n');
    }
}
