//! What goes with the parts of an archive: a script that joins them, and a page that tells people how.

use pixi_offline::quote::pasteable_line;

/// The script, the same for every archive.
pub(crate) const SCRIPT: (&str, &str) = ("join.sh", include_str!("join.sh"));

/// The name of the page.
pub(crate) const PAGE: &str = "JOIN.txt";

/// How each page begins, by which one of another archive is known.
const PAGE_BEGIN: &str = "This archive was split with pack-product: ";

/// How many parts one line for Windows joins: a command prompt takes 8191 characters, and a name has up
/// to 255 bytes.
const PARTS_OF_A_LINE: usize = 25;

/// Whether it is such a page, of whatever archive.
pub(crate) fn is_page(content: &[u8]) -> bool {
    content.starts_with(PAGE_BEGIN.as_bytes())
}

/// Whether it is such a script, of whatever version.
pub(crate) fn is_script(content: &[u8]) -> bool {
    let usage = SCRIPT.1.find("usage").unwrap_or_default();
    content.starts_with(&SCRIPT.1.as_bytes()[..usage])
}

/// The page of an archive with these parts.
pub(crate) fn join_text(name: &str, parts: &[&str]) -> String {
    let files = match parts {
        [first, .., last] => format!("{} parts, {first} to {last}", parts.len()),
        _ => format!("one part, {}", parts.concat()),
    };
    let shell = |name: &str| pasteable_line([name]);
    let (archive, list) = (shell(name), shell(&format!("{name}.sha256")));
    let part_list = shell(&format!("{name}.parts.sha256"));
    let windows = windows_lines(name, parts);
    let unpack = match name.rsplit_once(".tar").map(|(_, ending)| ending) {
        Some(".gz") => "tar xzf",
        Some(".zst") => "tar --zstd -xf",
        _ => "tar xf",
    };
    format!(
        "{PAGE_BEGIN}{name} is in {files}.

1. Put all parts, {name}.parts.sha256, {name}.sha256 and join.sh into one directory.

2. On Linux or another Unix:

     sh join.sh

   This checks each part and then joins them. To put the archive into another directory:

     sh join.sh /path/to/directory

   Without the script:

     sha256sum -c {part_list} && cat {archive}.[0-9][0-9][0-9] > {archive} && sha256sum -c {list}

   On Windows, in a command prompt:

{windows}     certutil -hashfile \"{name}\" SHA256

   and compare the digest with the one in {name}.sha256.

3. Unpack it on Linux:

     {unpack} {archive}

The lists show whether a file was damaged. They do not show who made it: where there is {name}.sha256.minisig,
check it with minisign and a public key that came another way.
"
    )
}

/// Each line appends some parts to the archive; the first one begins it.
fn windows_lines(name: &str, parts: &[&str]) -> String {
    let mut lines = String::new();
    for (number, some) in parts.chunks(PARTS_OF_A_LINE).enumerate() {
        let begun = (number > 0).then_some(name);
        let files: Vec<String> = begun
            .iter()
            .chain(some)
            .map(|file| format!("\"{file}\""))
            .collect();
        lines.push_str(&format!("     copy /b {} \"{name}\"\n", files.join("+")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_names_of_its_archive_and_every_part() {
        let page = join_text(
            "my demo.tar.zst",
            &["my demo.tar.zst.001", "my demo.tar.zst.002"],
        );
        for text in [
            "my demo.tar.zst is in 2 parts, my demo.tar.zst.001 to my demo.tar.zst.002.\n",
            " cat 'my demo.tar.zst'.[0-9][0-9][0-9] > 'my demo.tar.zst' &&",
            " copy /b \"my demo.tar.zst.001\"+\"my demo.tar.zst.002\" \"my demo.tar.zst\"\n",
            "     tar --zstd -xf 'my demo.tar.zst'\n",
        ] {
            assert!(page.contains(text), "{text} in {page}");
        }
        assert!(!page.contains("NAME"), "{page}");
        assert!(is_page(page.as_bytes()));
        assert!(!is_page(b"mine"));
        assert!(is_script(SCRIPT.1.as_bytes()));
        assert!(!is_script(b"#!/bin/sh\nset -eu\n"));
        let page = super::join_text("a.tar", &["a.tar.001"]);
        assert!(page.contains("is in one part, a.tar.001.\n"), "{page}");
        assert!(page.contains("     tar xf a.tar\n"), "{page}");
    }

    #[test]
    fn many_parts_are_joined_in_several_lines_that_fit_a_command_prompt() {
        let name = format!("{}.tar", "n".repeat(230));
        let parts: Vec<String> = (1..=999).map(|part| format!("{name}.{part:03}")).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let lines = windows_lines(&name, &parts);
        assert!(lines.lines().all(|line| line.len() < 8000));
        assert!(lines.starts_with(&format!("     copy /b \"{}\"+", parts[0])));
        let later = lines.lines().skip(1);
        let appends = format!("     copy /b \"{name}\"+");
        assert!(later.clone().count() > 1);
        assert!(later.into_iter().all(|line| line.starts_with(&appends)));
        let mut at = 0;
        for part in parts {
            at += lines[at..].find(&format!("\"{part}\"")).expect(part);
        }
    }
}
