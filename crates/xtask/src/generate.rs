//! Man pages and shell completions, made from the options that the commands parse.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Command, CommandFactory as _, ValueHint};
use clap_complete::Shell;

use crate::build;

/// The reference pages that man pages have, too: a table each.
const EXIT_CODES: &str = include_str!("../../../docs/reference/exit-codes.md");
const VARIABLES: &str = include_str!("../../../docs/reference/variables.md");

/// The page with the files.
const FILES: &str = include_str!("../../../docs/reference/files.md");

/// The commands that start no container.
const WITHOUT_CONTAINERS: [&str; 4] = [
    "compare-products",
    "make-archive-ready-product",
    "make-product-update",
    "pack-product",
];

/// The exit codes that an engine or what runs in a container leads to.
const CODES_OF_CONTAINERS: [&str; 6] = ["124", "125", "126", "127", "137", "any"];

/// Writes them all into a directory, at the places below `/usr` where `man` and the shells
/// look for them.
///
/// # Errors
///
/// When a file cannot be written.
pub fn run(dir: &Path) -> anyhow::Result<()> {
    for (file, content) in files()? {
        let file = dir.join(file);
        fs::create_dir_all(file.parent().unwrap_or(dir))?;
        fs::write(&file, content)
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(())
}

/// Every file with its path below the prefix that it is installed in.
pub fn files() -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    for mut command in commands() {
        let name = command.get_name().to_owned();
        files.push((man_path(&name), man_page(&command)?));
        for (shell, file) in [
            (Shell::Bash, format!("bash-completion/completions/{name}")),
            (Shell::Zsh, format!("zsh/site-functions/_{name}")),
            (
                Shell::Fish,
                format!("fish/vendor_completions.d/{name}.fish"),
            ),
        ] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, &name, &mut script);
            if shell == Shell::Bash {
                script = with_one_function_name(&name, &script);
            }
            files.push((Path::new("share").join(file), script));
        }
    }
    Ok(files)
}

/// A bash completion whose subcommands are found: clap_complete 4.5 writes the hyphen of a
/// command's name in two ways, `a__b` where it chooses a subcommand and `a__subcmd__b` where
/// it has the arguments of one.
fn with_one_function_name(command: &str, script: &[u8]) -> Vec<u8> {
    let wrong = format!("{}__subcmd__", command.replace('-', "__subcmd__"));
    let right = format!("{}__subcmd__", command.replace('-', "__"));
    String::from_utf8_lossy(script)
        .replace(&wrong, &right)
        .into_bytes()
}

/// The man page of a command, below the prefix.
fn man_path(command: &str) -> PathBuf {
    format!("share/man/man1/{command}.1").into()
}

/// A page in the language of man(7).
fn man_page(command: &Command) -> anyhow::Result<Vec<u8>> {
    let man = clap_mangen::Man::new(command.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    page.extend_from_slice(format!(".SH SYNOPSIS\n{}\n", literally(usage)).as_bytes());
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        page.extend_from_slice(b".SH COMMANDS\n");
        for short in command.get_subcommands() {
            let about = short.get_about().map(ToString::to_string);
            let (arg, about) = (short.get_name(), about.unwrap_or_default());
            page.extend_from_slice(entry(arg, &about).as_bytes());
        }
    }
    let starts_containers = !WITHOUT_CONTAINERS.contains(&command.get_name());
    page.extend_from_slice(b".SH EXIT STATUS\n");
    let codes = rows(EXIT_CODES).into_iter();
    for row in codes.filter(|row| starts_containers || !CODES_OF_CONTAINERS.contains(&row[0])) {
        page.extend_from_slice(entry(row[0], row[1]).as_bytes());
    }
    let is_read = |readers: &str| {
        readers.contains(command.get_name())
            || readers.contains("all commands")
            || (starts_containers && readers.contains("the commands that start containers"))
    };
    for (title, table) in [("ENVIRONMENT", VARIABLES), ("FILES", FILES)] {
        let read: Vec<_> = rows(table)
            .into_iter()
            .filter(|row| is_read(row[1]))
            .collect();
        if !read.is_empty() {
            page.extend_from_slice(format!(".SH {title}\n").as_bytes());
        }
        for row in read {
            page.extend_from_slice(entry(row[0], row[2]).as_bytes());
        }
    }
    // As they stand: the library would fill the lines like those of a text.
    page.extend_from_slice(b".SH EXAMPLES\n.nf\n");
    for line in examples_of(command).lines().skip(1) {
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
    let version = command.get_version().unwrap_or_default();
    page.extend_from_slice(format!(".SH VERSION\n{}\n", literally(version)).as_bytes());
    Ok(page)
}

/// The examples at the end of the help, all of them.
fn examples_of(command: &Command) -> String {
    let all = command.get_after_long_help();
    let examples = all.or_else(|| command.get_after_help());
    examples.map(ToString::to_string).unwrap_or_default()
}

/// The rows of the table of a page, below its head, cell by cell.
fn rows(page: &'static str) -> Vec<Vec<&'static str>> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = |line: &'static str| line.trim_end_matches(" |").split(" | ").collect();
    lines.skip(1).map(cells).collect()
}

/// A term and what it means.
fn entry(term: &str, meaning: &str) -> String {
    let plain = |text: &str| literally(&text.replace('`', ""));
    format!(".TP\n\\fB{}\\fR\n{}\n", plain(term), plain(meaning))
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

/// The commands as they parse their arguments.
fn commands() -> Vec<Command> {
    let dirs = |command: Command| {
        command.mut_args(|argument| {
            let is_dir = argument
                .get_value_names()
                .is_some_and(|names| names.iter().any(|name| name == "DIR"));
            match is_dir {
                true => argument.value_hint(ValueHint::DirPath),
                false => argument,
            }
        })
    };
    let all = long_names().into_iter().chain([with_short_names()]);
    all.map(dirs).collect()
}

/// Those that do the work.
fn long_names() -> [Command; 9] {
    [
        build_offline_product::Options::command(),
        compare_products::Options::command(),
        create_workdir_from_container::Options::command(),
        create_workdir_from_host::Options::command(),
        final_verify_product::Options::command(),
        make_product_update::Options::command(),
        make_production_image::Options::command(),
        pack_product::Options::command(),
        make_archive_ready_product::Options::command(),
    ]
}

/// `pixi-offline`, each short name with the options of what it starts.
fn with_short_names() -> Command {
    let mut front = pixi_offline_cli::command();
    for short in pixi_offline_cli::SHORT_NAMES {
        let mut long_names = long_names().into_iter();
        // A name without its options would be noticed by the test of these pages.
        let Some(mut long) = long_names.find(|long| long.get_name() == short.command) else {
            continue;
        };
        // This one starts the other one, too.
        if short.command == "create-workdir-from-host" {
            let other = create_workdir_from_container::Options::command();
            let own: Vec<_> = long.get_arguments().map(|it| it.get_id().clone()).collect();
            let more = other.get_arguments().cloned();
            long = long.args(more.filter(|argument| !own.contains(argument.get_id())));
        }
        front = front.mut_subcommand(short.arg, |named| {
            long.name(short.arg)
                .about(named.get_about().cloned().unwrap_or_default())
        });
    }
    front
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::{FromArgMatches, Parser};
    use duct::cmd;
    use pixi_offline::entry::{Parsed, parse};
    use testbed::ensure_debian_package;
    use testbed::sandbox::{Run, Sandbox};

    use super::*;

    /// The words of each example in a command's help.
    fn examples(command: &Command) -> Vec<Vec<OsString>> {
        let short = command.get_after_help().expect("a help with examples");
        // Those of the short help, too, where it has others.
        let lines = format!("{short}\n{}", examples_of(command)).replace("\\\n", " ");
        let name = command.get_name();
        let examples: Vec<_> = lines
            .lines()
            .filter_map(|line| line.trim().strip_prefix("$ "))
            .map(|line| {
                let print = format!("print() {{ printf '%s\\n' \"$@\"; }}; print {line}");
                let args = cmd("sh", ["-c", &print]).read().unwrap();
                args.lines().map(OsString::from).collect::<Vec<_>>()
            })
            .collect();
        assert!(examples.len() > 1, "{name}");
        assert!(examples.iter().all(|args| args[0] == name), "{name}");
        examples
    }

    fn parses<Options: Parser + FromArgMatches>() {
        for args in examples(&Options::command()) {
            match parse::<Options>(args[1..].iter().cloned()) {
                Ok(Parsed::Options(_)) => {}
                Ok(Parsed::Text(_)) => panic!("{args:?} asks for help"),
                Err(error) => panic!("{args:?}: {error:#}"),
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
        parses::<compare_products::Options>();
        parses::<pack_product::Options>();
        parses::<make_product_update::Options>();
        parses::<make_production_image::Options>();
        short_names_parse();
    }

    /// The examples of `pixi-offline` are parsed as the command that they start does.
    fn short_names_parse() {
        for args in examples(&pixi_offline_cli::command()) {
            let arguments = &args[2..];
            let parsed = match pixi_offline_cli::command_of(&args[1], arguments).unwrap() {
                "build-offline-product" => is_parsed::<build_offline_product::Options>(arguments),
                "create-workdir-from-host" => {
                    is_parsed::<create_workdir_from_host::Options>(arguments)
                }
                "make-archive-ready-product" => {
                    is_parsed::<make_archive_ready_product::Options>(arguments)
                }
                "final-verify-product" => is_parsed::<final_verify_product::Options>(arguments),
                other => panic!("{other}: add it here"),
            };
            assert!(parsed.is_ok(), "{args:?}: {parsed:?}");
        }
    }

    fn is_parsed<Options: Parser>(arguments: &[OsString]) -> anyhow::Result<()> {
        parse::<Options>(arguments.iter().cloned()).map(drop)
    }

    #[test]
    fn the_pages_of_pixi_offline_have_each_short_name_and_its_options() {
        let command = with_short_names();
        let page = String::from_utf8(man_page(&command).unwrap()).unwrap();
        for short in pixi_offline_cli::SHORT_NAMES {
            assert!(
                page.contains(&format!("\n\\fB{}\\fR\n", short.arg)),
                "{page}"
            );
            let options = command.find_subcommand(short.arg).unwrap();
            assert!(options.get_arguments().count() > 1, "{}", short.arg);
        }
        let stage = command.find_subcommand("stage").unwrap();
        for option in ["project-dir", "container-id"] {
            let mut longs = stage.get_arguments().filter_map(|it| it.get_long());
            assert!(longs.any(|long| long == option), "{option}");
        }
    }

    #[test]
    fn man_pages_have_the_exit_codes_and_variables_of_the_reference() {
        let command = build_offline_product::Options::command();
        let page = String::from_utf8(man_page(&command).unwrap()).unwrap();
        for part in [
            ".SH EXIT STATUS\n.TP\n\\fB0\\fR\n",
            "\n\\fB129, 130, 143\\fR\n",
            ".SH ENVIRONMENT\n.TP\n\\fBCONTAINER_ENGINE\\fR\n",
            "\n\\fBPIXI_IMAGE\\fR\n",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert!(!page.contains("PRODUCT_ROOT\\fR"), "{page}");
    }

    #[test]
    fn man_pages_have_what_is_of_their_command() {
        for command in commands() {
            let name = command.get_name();
            let page = String::from_utf8(man_page(&command).unwrap()).unwrap();
            let codes: Vec<_> = rows(EXIT_CODES).iter().map(|row| row[0]).collect();
            assert!(CODES_OF_CONTAINERS.iter().all(|code| codes.contains(code)));
            let starts_containers = !WITHOUT_CONTAINERS.contains(&name);
            for part in ["\n\\fBCONTAINER_ENGINE\\fR\n", "\n\\fB125\\fR\n"] {
                assert_eq!(page.contains(part), starts_containers, "{name}: {part}");
            }
            // A section has something in it.
            assert!(!page.contains("\n.SH FILES\n.SH"), "{name}: {page}");
            assert!(!page.contains("\n.SH ENVIRONMENT\n.SH"), "{name}: {page}");
            let synopsis = page.split(".SH SYNOPSIS\n").nth(1).unwrap();
            let synopsis = synopsis.lines().next().unwrap();
            assert!(synopsis.starts_with(&literally(name)), "{name}: {synopsis}");
            let has_end = [']', '>'].iter().any(|end| synopsis.ends_with(*end));
            assert!(has_end, "{name}: {synopsis}");
            assert!(!page.contains("\nv0."), "{name}: {page}");
        }
        let page = man_page(&pack_product::Options::command()).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(
            page.contains("\npack\\-product [OPTIONS] <PRODUCT> <FILE>\n"),
            "{page}"
        );
    }

    /// Options that no help lists, each with the command that has it.
    const HIDDEN: [(&str, &str); 1] = [
        // A workdir that is made again keeps its cache without it.
        ("build-offline-product", "reuse-cache"),
    ];

    #[test]
    fn every_command_can_be_quiet_and_verbose() {
        for command in commands() {
            let has = |command: &Command, short: char, long: &str| {
                let mut options = command.get_arguments();
                options.any(|it| it.get_short() == Some(short) && it.get_long() == Some(long))
            };
            let of_all = match command.has_subcommands() {
                true => command.get_subcommands().collect(),
                false => vec![&command],
            };
            for command in of_all {
                let name = command.get_name();
                assert!(has(command, 'q', "quiet"), "{name}");
                assert!(has(command, 'v', "verbose"), "{name}");
            }
        }
    }

    #[test]
    fn man_pages_have_every_option_and_the_examples() {
        assert_eq!(commands().len(), build::COMMANDS.len());
        for command in commands() {
            let page = man_page(&command).unwrap();
            let page = String::from_utf8(page).unwrap().replace("\\-", "-");
            let help = command.clone().render_long_help().to_string();
            for option in command.get_arguments() {
                let name = command.get_name();
                let Some(long) = option.get_long() else {
                    continue;
                };
                if option.is_hide_set() {
                    assert!(HIDDEN.contains(&(name, long)), "{name}: {long}");
                    continue;
                }
                for text in [&page, &help] {
                    assert!(text.contains(&format!("--{long}")), "{name}: {long}");
                }
            }
            for line in examples_of(&command).lines().skip(1) {
                let line = line.replace('\\', "\\e").replace('\'', "\\(aq");
                assert!(page.contains(&line), "{line} in {page}");
            }
        }
    }

    /// Runs a script, the directory of all shells' completions as its first argument.
    fn shell(program: &[&str], script: &str) -> Run {
        let sandbox = Sandbox::new();
        let dir = tempfile::tempdir().unwrap();
        super::run(dir.path()).unwrap();
        let mut command = sandbox.program(program[0]);
        Run::of(
            command
                .args(&program[1..])
                .args([script, "shell"])
                .arg(dir.path().join("share")),
        )
    }

    #[test]
    fn bash_completes_options_and_their_values() {
        let script = r#"
            . "$1/bash-completion/completions/build-offline-product"
            complete -p build-offline-product
            try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
              "$(complete -p "$1" | sed 's/.*-F \([^ ]*\).*/\1/')" "$1" "${@: -1}" "${@: -2:1}"
              echo "<${COMPREPLY[*]}>"; }
            try build-offline-product --bundle
            try build-offline-product --project-dir demo --cache ''
            . "$1/bash-completion/completions/final-verify-product"
            try final-verify-product --att
            . "$1/bash-completion/completions/pixi-offline"
            try pixi-offline im
            try pixi-offline stage --container-i"#;
        shell(&["bash", "-c"], script)
            .success()
            .prints("<--bundle-pixi>\n")
            .prints("<needed full>\n")
            .prints("<--attach>\n")
            .prints("<image>\n")
            .prints("<--container-id>\n");
    }

    #[test]
    fn zsh_completes_options_and_their_values() {
        ensure_debian_package("zsh", "zsh").unwrap();
        // zsh completes only at a terminal: `zpty` is one.
        let script = r#"
            zmodload zsh/zpty
            zpty it zsh -f -i
            zpty -w it "PS1=; fpath=($1/zsh/site-functions \$fpath); autoload -Uz compinit; compinit -u -D; echo rea\"\"dy"
            zpty -r it line '*ready*'
            zpty -w -n it $'build-offline-product --bundle\t'
            zpty -r it line '*--bundle-pixi*' && print complete: $line
            zpty -w -n it $'\Cubuild-offline-product --cache f\t'
            zpty -r it line '*--cache full*' && print complete: $line
            zpty -d it"#;
        let run = shell(&["timeout", "60", "zsh", "-f", "-c"], script);
        run.success().prints("--bundle-pixi").prints("--cache full");
    }

    #[test]
    fn fish_completes_options_and_their_values() {
        if let Err(error) = ensure_debian_package("fish", "fish") {
            testbed::skip(
                "fish_completes_options_and_their_values",
                &format!("{error:#}"),
            );
            return;
        }
        let script = r#"
            source $argv[2]/fish/vendor_completions.d/build-offline-product.fish
            complete -C 'build-offline-product --bundle'
            complete -C 'build-offline-product --cache f'"#;
        shell(&["fish", "--no-config", "-c"], script)
            .success()
            .prints("--bundle-pixi\t")
            .prints("full");
    }
}
