//! What is quoted for a shell comes out of bash, dash and zsh byte for byte.

use std::process::Command;

use pixi_offline::quote::shell_quote;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::fuzz::holds;
use testbed::limit::InTime as _;

/// How many words a shell is asked about at once.
const AT_ONCE: usize = 100;

/// Bytes that mean something to some shell, and those that dash and zsh keep for
/// themselves.
const SPECIAL: &[u8] =
    b"''''\"\\$`!*?[]{}()<>|&;#~=%^ \t\n\r\x01\x1b\x7f\x80\x81\x82\x83\x84\x85\x86\x87\x88\xa0\xc3\xa9\xff-";

fn words() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => select(SPECIAL), 2 => 1..=255_u8, 2 => 97..=122_u8];
    vec(byte, 0..24)
}

#[test]
fn shell_quoting_survives_bash() {
    for shell in ["dash", "zsh"] {
        let _ = testbed::ensure_debian_package(shell, shell);
    }
    let there = |shell: &&str| {
        Command::new(shell)
            .args(["-c", ":"])
            .status_in_time()
            .is_ok()
    };
    let shells: Vec<&str> = ["bash", "dash", "zsh"].into_iter().filter(there).collect();
    assert!(shells.contains(&"bash"), "bash is missing");
    for shell in ["dash", "zsh"] {
        if !shells.contains(&shell) {
            testbed::skip(
                &format!("fuzz::shell_quoting_survives_{shell}"),
                "it is not installed",
            );
        }
    }
    let number = testbed::cases(40, 1000);
    holds(
        "shell_quoting_survives_bash",
        number,
        &vec(words(), AT_ONCE),
        |words| {
            let mut script = Vec::new();
            let mut expected = Vec::new();
            for (number, word) in words.iter().enumerate() {
                // As an argument, and as what is exported by `envs.sh`.
                let quoted = shell_quote(word);
                if number % 2 == 0 {
                    script.extend_from_slice(b"printf '%s\\0' ");
                    script.extend_from_slice(&quoted);
                } else {
                    script.extend_from_slice(b"export X=");
                    script.extend_from_slice(&quoted);
                    script.extend_from_slice(b"\nprintf '%s\\0' \"$X\"");
                }
                script.push(b'\n');
                expected.extend_from_slice(word);
                expected.push(0);
            }
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), script).expect("a script");
            for shell in &shells {
                for locale in ["C", "C.UTF-8"] {
                    let mut command = Command::new(shell);
                    command.arg(file.path()).env("LC_ALL", locale);
                    let output = command.output_in_time().expect("a shell");
                    prop_assert!(
                        output.stdout == expected,
                        "{shell} in {locale} printed {} bytes of {}: {}",
                        output.stdout.len(),
                        expected.len(),
                        String::from_utf8_lossy(&output.stderr)
                    );
                }
            }
            Ok(())
        },
    );
    testbed::ran("shell_quoting_survives_bash", number * AT_ONCE as u64);
}
