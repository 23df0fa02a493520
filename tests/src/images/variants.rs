//! Images as people have them that are not quite what one expects.

use anyhow::Result;

use super::derived::{Change, derived_image};

/// One way in which an image may differ from a plain one with pixi and bash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Its ENTRYPOINT is `/bin/echo`: whatever it is asked to run is printed and succeeds.
    EchoEntrypoint,
    /// pixi is in /opt/pixi/bin, which only the image's own PATH names.
    PixiOnlyOnImagePath,
    /// No pixi.
    WithoutPixi,
    /// No bash; `sh` is dash.
    WithoutBash,
    /// pixi is a script that writes what `pixi run` was given, each argument ended by a NUL, to
    /// `$PIXI_RECORD`, or else `$VERIFY_OUT_DIR/recorded-argv`, or else /tmp/recorded-argv.
    RecordingPixi,
}

const RECORDING_PIXI: &str = include_str!("recording-pixi.sh");

impl Variant {
    /// Every variant.
    pub const ALL: [Variant; 5] = [
        Variant::EchoEntrypoint,
        Variant::PixiOnlyOnImagePath,
        Variant::WithoutPixi,
        Variant::WithoutBash,
        Variant::RecordingPixi,
    ];

    /// Makes this variant of the image `base` (which has pixi, bash and coreutils) and returns
    /// its reference.
    ///
    /// # Errors
    /// When there is no engine or no such image, or the build fails.
    pub fn of(self, base: &str) -> Result<String> {
        let change = match self {
            Variant::EchoEntrypoint => Change::Instructions("ENTRYPOINT [\"/bin/echo\"]"),
            Variant::PixiOnlyOnImagePath => Change::Instructions(
                "RUN mkdir -p /opt/pixi/bin && mv \"$(command -v pixi)\" /opt/pixi/bin/pixi\n\
                 ENV PATH=/opt/pixi/bin:$PATH",
            ),
            Variant::WithoutPixi => Change::Instructions("RUN rm \"$(command -v pixi)\""),
            Variant::WithoutBash => Change::Instructions("RUN rm -f /bin/bash /usr/bin/bash"),
            Variant::RecordingPixi => Change::Script {
                text: RECORDING_PIXI,
                to: "/usr/local/bin/pixi",
            },
        };
        derived_image(
            &format!("{}:{}", self.name(), tag_for(base)),
            base,
            &[change],
        )
    }

    fn name(self) -> &'static str {
        match self {
            Variant::EchoEntrypoint => "echo-entrypoint",
            Variant::PixiOnlyOnImagePath => "pixi-on-image-path",
            Variant::WithoutPixi => "without-pixi",
            Variant::WithoutBash => "without-bash",
            Variant::RecordingPixi => "recording-pixi",
        }
    }
}

/// The base's reference as a tag, so that variants of two images do not replace each other.
fn tag_for(base: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c
        } else {
            '-'
        }
    };
    let tag: String = base.chars().map(plain).collect();
    let tag = tag.trim_start_matches(['-', '.']);
    tag[tag.len().saturating_sub(100)..]
        .trim_start_matches(['-', '.'])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_becomes_a_tag() {
        assert_eq!(
            tag_for("pixi-offline-test/pixi:0.15.2"),
            "pixi-offline-test-pixi-0.15.2"
        );
        assert_eq!(
            tag_for("host:5000/a/b@sha256:00"),
            "host-5000-a-b-sha256-00"
        );
        assert_eq!(tag_for(&"x".repeat(300)).len(), 100);
    }
}
