//! Quoting for POSIX shells.

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
