//! The caller's own args for the engine, as short containers of these commands get them.

use std::ffi::OsString;

/// Options with a value that give a container another network, an address or a name in
/// one, or ports: an engine refuses them beside `--network none`, or two containers cannot
/// have the same.
const OF_A_NETWORK: &str = "\
    --network --net --network-alias --net-alias --ip --ip6 --link-local-ip --mac-address --link \
    --publish -p --name --cidfile";

/// Which of the caller's args a container gets that has no network and is removed: all but
/// those of a network, the container's name and the file for its id, which belong to the
/// container of the build.
pub(super) fn without_network(arguments: &[OsString]) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut args = arguments.iter();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        let (option, has_value) = match text.split_once('=') {
            Some((option, _)) => (option, true),
            None => (text.as_ref(), false),
        };
        let with_port = text.starts_with("-p") && !text.starts_with("--");
        if OF_A_NETWORK.split(' ').any(|one| one == option) {
            // The value is the next argument.
            if !has_value {
                args.next();
            }
        } else if !with_port {
            kept.push(arg.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_a_network_is_left_out_with_its_value() {
        let cases: [(&[&str], &[&str]); 6] = [
            (&["--network=host", "--cpus=1"], &["--cpus=1"]),
            (&["--net", "host", "--memory", "1g"], &["--memory", "1g"]),
            (
                &["-p", "80:80", "-p81:81", "--publish=82:82", "--user=1"],
                &["--user=1"],
            ),
            (
                &["--add-host=a:1.2.3.4", "--ip", "10.0.0.2"],
                &["--add-host=a:1.2.3.4"],
            ),
            (
                &["--pids-limit=9", "--privileged", "-v", "/a:/b"],
                &["--pids-limit=9", "--privileged", "-v", "/a:/b"],
            ),
            (&["--cap-drop=CHOWN", "--network"], &["--cap-drop=CHOWN"]),
        ];
        for (given, expected) in cases {
            let given: Vec<OsString> = given.iter().map(OsString::from).collect();
            assert_eq!(without_network(&given), expected, "{given:?}");
        }
    }
}
