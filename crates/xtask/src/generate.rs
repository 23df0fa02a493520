//! Man pages and shell completions, out of the very options that the commands
//! parse. They are committed; a test says when they are not fresh.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Command, CommandFactory as _, ValueHint};
use clap_complete::Shell;

use crate::build;

/// Where the man pages are, from the top of the checkout.
pub const MAN: &str = "docs/man";

/// Where the completions are.
pub const COMPLETIONS: &str = "completions";

/// Writes them all.
///
/// # Errors
/// When a file cannot be written.
pub fn run() -> anyhow::Result<()> {
    let root = build::workspace();
    for (file, content) in files()? {
        let file = root.join(file);
        fs::create_dir_all(file.parent().unwrap_or(&root))?;
        fs::write(&file, content)
            .with_context(|| format!("{} cannot be written", file.display()))?;
        println!("{} is written", file.display());
    }
    Ok(())
}

/// Every file with its content, by its path from the top of the checkout.
fn files() -> anyhow::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for mut command in commands() {
        let name = command.get_name().to_owned();
        let page = man_page(&command)?;
        files.insert(Path::new(MAN).join(format!("{name}.1")), page);
        for (shell, file) in [
            (Shell::Bash, format!("{name}.bash")),
            (Shell::Zsh, format!("_{name}")),
            (Shell::Fish, format!("{name}.fish")),
        ] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, &name, &mut script);
            files.insert(Path::new(COMPLETIONS).join(file), script);
        }
    }
    Ok(files)
}

/// A page in the language of man(7).
fn man_page(command: &Command) -> anyhow::Result<Vec<u8>> {
    let man = clap_mangen::Man::new(command.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    // As they stand: the library would fill the lines like those of a text.
    page.extend_from_slice(b".SH EXAMPLES\n.nf\n");
    let examples = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    for line in examples.lines().skip(1) {
        page.extend_from_slice(literally(line).as_bytes());
        page.push(b'\n');
    }
    page.extend_from_slice(b".fi\n.SH SEE ALSO\n");
    let others: Vec<String> = build::COMMANDS
        .iter()
        .filter(|name| **name != command.get_name())
        .map(|name| format!("\\fB{}\\fR(1)", literally(name)))
        .collect();
    page.extend_from_slice(others.join(",\n").as_bytes());
    page.extend_from_slice(b".\n");
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// A line that man(7) shows as it is.
fn literally(line: &str) -> String {
    let line = line
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq");
    match line.starts_with('.') {
        true => format!("\\&{line}"),
        false => line,
    }
}

/// The commands as they parse their words.
fn commands() -> Vec<Command> {
    let folders = |command: Command| {
        command.mut_args(|argument| {
            let is_folder = argument
                .get_value_names()
                .is_some_and(|names| names.iter().any(|name| name == "DIR"));
            match is_folder {
                true => argument.value_hint(ValueHint::DirPath),
                false => argument,
            }
        })
    };
    [
        build_offline_product::Options::command(),
        create_workdir_from_container::Options::command(),
        create_workdir_from_host::Options::command(),
        final_verify_product::Options::command(),
        make_production_image::Options::command(),
        make_archive_ready_product::Options::command(),
    ]
    .map(folders)
    .into()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::{FromArgMatches, Parser};
    use duct::cmd;
    use pixi_offline::entry::{Parsed, parse};

    use super::*;

    #[test]
    fn man_pages_and_completions_are_fresh() {
        let root = build::workspace();
        let files = files().unwrap();
        for (file, content) in &files {
            let there = fs::read(root.join(file)).unwrap_or_default();
            assert!(
                there == *content,
                "{} is not what the options say; run `cargo xtask generate`",
                file.display()
            );
        }
        for folder in [MAN, COMPLETIONS] {
            for entry in fs::read_dir(root.join(folder)).unwrap() {
                let file = Path::new(folder).join(entry.unwrap().file_name());
                assert!(files.contains_key(&file), "{} is nobody's", file.display());
            }
        }
        assert_eq!(commands().len(), build::COMMANDS.len());
    }

    /// The words of each example in a command's help.
    fn examples(command: &Command) -> Vec<Vec<OsString>> {
        let help = command
            .get_after_help()
            .expect("a help with examples")
            .to_string();
        let lines = help.replace("\\\n", " ");
        let name = command.get_name();
        let examples: Vec<_> = lines
            .lines()
            .filter_map(|line| line.trim().strip_prefix("$ "))
            .map(|line| {
                let print = format!("print() {{ printf '%s\\n' \"$@\"; }}; print {line}");
                let words = cmd("sh", ["-c", &print]).read().unwrap();
                words.lines().map(OsString::from).collect::<Vec<_>>()
            })
            .collect();
        assert!(examples.len() > 1, "{name}");
        assert!(examples.iter().all(|words| words[0] == name), "{name}");
        examples
    }

    fn parses<Options: Parser + FromArgMatches>() {
        for words in examples(&Options::command()) {
            match parse::<Options>(words[1..].iter().cloned()) {
                Ok(Parsed::Options(_)) => {}
                Ok(Parsed::Text(_)) => panic!("{words:?} asks for help"),
                Err(error) => panic!("{words:?}: {error:#}"),
            }
        }
    }

    #[test]
    fn each_example_of_the_help_can_be_typed() {
        parses::<build_offline_product::Options>();
        parses::<create_workdir_from_container::Options>();
        parses::<create_workdir_from_host::Options>();
        parses::<final_verify_product::Options>();
        parses::<make_archive_ready_product::Options>();
        parses::<make_production_image::Options>();
    }

    #[test]
    fn man_pages_have_every_option_and_the_examples() {
        for command in commands() {
            let page =
                files().unwrap()[&Path::new(MAN).join(format!("{}.1", command.get_name()))].clone();
            let page = String::from_utf8(page).unwrap().replace("\\-", "-");
            for option in command
                .get_arguments()
                .filter_map(|argument| argument.get_long())
            {
                assert!(
                    page.contains(&format!("--{option}")),
                    "{}: {option}",
                    command.get_name()
                );
            }
            for line in command
                .get_after_help()
                .unwrap()
                .to_string()
                .lines()
                .skip(1)
            {
                let line = line.replace('\\', "\\e").replace('\'', "\\(aq");
                assert!(page.contains(&line), "{line} in {page}");
            }
        }
    }
}
