//! What the engine does and knows: a file in JSON that a test wrote.

use std::collections::BTreeMap;

use serde::Deserialize;

/// How the fake behaves.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// `docker version` fails with this message.
    pub no_daemon: Option<String>,
    /// What the engine runs on, `linux/amd64` for example; it does not tell when empty.
    pub platform: String,
    /// It is podman.
    pub is_podman: bool,
    /// Images that are there.
    pub images: Vec<String>,
    /// `docker run` prints this on stderr and ends with the code, no container made.
    pub refuse: Option<(String, u8)>,
    /// The container ends with this code and prints its arguments, our script never run.
    pub swallow: Option<u8>,
    /// Programs that the image lacks.
    pub missing_program: Option<String>,
    /// The out directory in the container is not the mounted one.
    pub elsewhere: bool,
    /// What `pixi --version` prints.
    pub pixi: String,
    /// Variables of the container that hold credentials, `NAME=VALUE`.
    pub credentials: Vec<String>,
    /// The phases: name, output, exit code.
    pub phases: Vec<(String, String, u8)>,
    /// Files that the container leaves: path below a mount's target, content.
    pub writes: BTreeMap<String, String>,
    /// No second container can be made that counts attempts to reach the network.
    pub counts_nothing: bool,
    /// It ends after the first count.
    pub counts_once: bool,
    /// After its start the script says these, and nothing else.
    pub signals: Vec<String>,
    /// What a hostile container puts in the place of whatever is there: path below a
    /// mount's target, and `fifo`, `sparse` or what a link leads to.
    pub plants: BTreeMap<String, String>,
    /// How often something tried to reach the network, by phase.
    pub attempts: BTreeMap<String, u64>,
    /// The engine fetches an image for a minute, and then has none.
    pub fetching: bool,
    /// The container goes on until its input is closed.
    pub hang: bool,
    /// The same, in this phase.
    pub hang_in: Option<String>,
    /// The container dies with this code before the script ends.
    pub die: Option<u8>,
    /// `docker container inspect` finds nothing.
    pub no_container: bool,
    /// What `docker container inspect` says of the state.
    pub state: serde_json::Value,
    /// The architecture of these images, when it is not amd64.
    pub architectures: BTreeMap<String, String>,
    /// What a look into these images shows, or why they have no shell.
    pub systems: BTreeMap<String, Result<String, String>>,
    /// What `docker build` prints on stderr, and its exit code.
    pub build: (String, u8),
    /// What a build, and a command in a built image, print on both streams.
    pub prints: String,
    /// What reaches the client's standard error in each phase.
    pub client_errors: String,
    /// From the build on nothing answers.
    pub leaves_in_the_build: bool,
    /// What `docker image ls` shows until it is removed.
    pub nameless: Vec<String>,
    /// The exit code of a command that is run in a built image.
    pub verify: u8,
    /// Whether a volume of any name is there.
    pub has_every_volume: bool,
    /// A container cannot write into a directory of the caller's.
    pub cannot_write: bool,
    /// What the script that asks pixi about a project prints.
    pub pixi_check: String,
}

/// The id of what `docker build` makes.
pub const BUILT: &str = "sha256:b111d";

impl Default for Scenario {
    fn default() -> Scenario {
        Scenario {
            no_daemon: None,
            platform: String::new(),
            is_podman: false,
            images: vec!["img:1".to_owned(), "sha256:feed".to_owned()],
            refuse: None,
            swallow: None,
            missing_program: None,
            elsewhere: false,
            pixi: "pixi 0.77.0".to_owned(),
            credentials: Vec::new(),
            phases: Vec::new(),
            writes: BTreeMap::new(),
            counts_nothing: false,
            counts_once: false,
            signals: Vec::new(),
            plants: BTreeMap::new(),
            attempts: BTreeMap::new(),
            fetching: false,
            hang: false,
            hang_in: None,
            die: None,
            no_container: false,
            state: serde_json::json!({"Status": "exited", "Error": "", "OOMKilled": false}),
            architectures: BTreeMap::new(),
            systems: BTreeMap::new(),
            build: (String::new(), 0),
            prints: String::new(),
            client_errors: String::new(),
            leaves_in_the_build: false,
            nameless: Vec::new(),
            verify: 0,
            has_every_volume: false,
            cannot_write: false,
            pixi_check: "pixi pixi 0.77.0\nmanifest 0\nlock 0".to_owned(),
        }
    }
}
