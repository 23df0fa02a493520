//! The committed completions, in the shells that they are for.

use std::path::{Path, PathBuf};

use testbed::ensure_debian_package;
use testbed::sandbox::{Run, Sandbox};

fn completions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../completions")
}

/// Runs a script, the folder of the completions as its first argument.
fn shell(program: &[&str], script: &str) -> Run {
    let sandbox = Sandbox::new();
    let mut command = sandbox.program(program[0]);
    Run::of(
        command
            .args(&program[1..])
            .args([script, "shell"])
            .arg(completions()),
    )
}

#[test]
fn bash_completes_options_and_their_values() {
    let script = r#"
        . "$1/build-offline-product.bash"
        complete -p build-offline-product
        try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
          "$(complete -p "$1" | sed 's/.*-F \([^ ]*\).*/\1/')" "$1" "${@: -1}" "${@: -2:1}"
          echo "<${COMPREPLY[*]}>"; }
        try build-offline-product --bundle
        try build-offline-product --project-dir demo --cache ''
        . "$1/final-verify-product.bash"
        try final-verify-product --att"#;
    shell(&["bash", "-c"], script)
        .success()
        .prints("<--bundle-pixi>\n")
        .prints("<needed full>\n")
        .prints("<--attach>\n");
}

#[test]
fn zsh_completes_options_and_their_values() {
    ensure_debian_package("zsh", "zsh").unwrap();
    // zsh completes only at a terminal: `zpty` is one.
    let script = r#"
        zmodload zsh/zpty
        zpty it zsh -f -i
        zpty -w it "PS1=; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; echo rea\"\"dy"
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
        source $argv[2]/build-offline-product.fish
        complete -C 'build-offline-product --bundle'
        complete -C 'build-offline-product --cache f'"#;
    shell(&["fish", "--no-config", "-c"], script)
        .success()
        .prints("--bundle-pixi\t")
        .prints("full");
}
