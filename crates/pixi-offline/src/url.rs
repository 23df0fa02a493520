//! The parts of a URL as its text has them: nothing is normalized, since messages, labels and
//! evidence show what was written.

/// The text of a URL, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UrlText<'a> {
    /// What is before `://`, if anything is.
    pub scheme: Option<&'a str>,
    /// User and password.
    pub login: Option<&'a str>,
    /// The host, with its port.
    pub host: &'a str,
    /// The path, with what follows it.
    pub path: &'a str,
}

impl<'a> UrlText<'a> {
    /// Takes a text apart.
    pub fn new(url: &'a str) -> UrlText<'a> {
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, url),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority),
        };
        UrlText {
            scheme,
            login,
            host,
            path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_as_it_is_written() {
        let parts = |url| {
            let UrlText {
                scheme,
                login,
                host,
                path,
            } = UrlText::new(url);
            (scheme, login, host, path)
        };
        assert_eq!(
            parts("https://me:a@b@Host:80/x/@y?z"),
            (Some("https"), Some("me:a@b"), "Host:80", "/x/@y?z")
        );
        assert_eq!(parts("git@host"), (None, Some("git"), "host", ""));
        assert_eq!(parts("file:///x"), (Some("file"), None, "", "/x"));
    }
}
