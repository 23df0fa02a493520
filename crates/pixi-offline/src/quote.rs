//! Quoting for POSIX shells.

use std::ffi::OsStr;

/// `bytes` as one shell word, between single quotes: there nothing but the
/// quote itself means anything (POSIX, Shell Command Language 2.2.2), in bash,
/// zsh and dash alike.
pub fn shell_quote(bytes: &[u8]) -> Vec<u8> {
    let mut word = vec![b'\''];
    for &byte in bytes {
        match byte {
            b'\'' => word.extend_from_slice(br"'\''"),
            _ => word.push(byte),
        }
    }
    word.push(b'\'');
    word
}

/// A word between single quotes, to be shown.
pub fn quoted(word: &OsStr) -> String {
    String::from_utf8_lossy(&shell_quote(word.as_encoded_bytes())).into_owned()
}

/// A word as it can be pasted into a shell: quoted where it must be.
pub fn pasteable(word: &OsStr) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(byte);
    let bytes = word.as_encoded_bytes();
    match !bytes.is_empty() && bytes.iter().all(is_plain) {
        true => word.to_string_lossy().into_owned(),
        false => quoted(word),
    }
}

/// The arguments of a command as they can be pasted into a shell.
pub fn pasteable_line(args: impl IntoIterator<Item: AsRef<OsStr>>) -> String {
    let args = args.into_iter().map(|arg| pasteable(arg.as_ref()));
    args.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_quote_is_special() {
        for (bytes, word) in [
            (&b""[..], &b"''"[..]),
            (b"a b", b"'a b'"),
            (b"it's", br"'it'\''s'"),
            (b"$x `y` \\ \n!", b"'$x `y` \\ \n!'"),
        ] {
            assert_eq!(shell_quote(bytes), word);
        }
    }
}
