//! What secrets look like, as published by who hands them out.
//!
//! A pattern is precise: a fixed prefix or another mark, the exact characters,
//! and a length. Values that were typed instead of drawn, and placeholders, are
//! no secrets.

/// How a match is told from what only looks like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The form alone says enough.
    Form,
    /// The first group, else all, looks drawn at random.
    Drawn,
    /// The first group has many different characters; a key's beginning has
    /// zeros in a row.
    Block,
    /// The first group is no placeholder.
    NoPlaceholder,
    /// Groups: user, password, host of a URL.
    Login,
    /// Groups: the token in a channel's URL, the next part of the path.
    ChannelToken,
    /// Groups: name and value of a variable.
    Variable,
    /// The first group is a user and a password in base 64 (RFC 7617).
    BasicLogin,
}

/// One kind of secret.
#[derive(Debug)]
pub struct SecretPattern {
    /// What people call it.
    pub kind: &'static str,
    /// Texts of which one must be in the content; letter case does not count.
    pub marks: &'static [&'static str],
    /// The form, as a regular expression on bytes.
    pub form: &'static str,
    /// What else must hold.
    pub proof: Proof,
    /// Ends of the files' paths that it is for; empty for all files.
    pub files: &'static [&'static str],
}

/// The name that the args of a command line are searched under.
pub const ARGUMENTS: &str = "arguments of a command";

/// Ends of the paths of what tells of requests that were made or will be: the small
/// files of package caches, settings of git, and the args of a command.
const OF_REQUESTS: [&str; 10] = [
    ".http",
    ".rkyv",
    ".msgpack",
    ".rev",
    ".info.json",
    "repodata_record.json",
    "FETCH_HEAD",
    "/config",
    "pixi.lock",
    ARGUMENTS,
];

/// Each pattern: its kind, its marks, its proof, its files where it is not for all, and its form.
macro_rules! patterns {
    ($($kind:literal [$($mark:literal)+] $proof:ident $(in $files:tt)?: $form:literal;)+) => {
        &[$(SecretPattern {
            kind: $kind,
            marks: &[$($mark),+],
            form: $form,
            proof: Proof::$proof,
            files: [$(&$files as &[&str],)? &[]][0],
        }),+]
    };
}

/// All of them.
pub const PATTERNS: &[SecretPattern] = patterns! {
    // Header lines of PEM (RFC 1421) and OpenPGP (RFC 4880) may come first;
    // in JSON and source text the ends of lines are escaped.
    "private key" ["PRIVATE KEY"] Block:
        r#"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:[\s"',+\\]|\\[nr])*(?:[A-Za-z-]{3,20}: [^\n]{0,200}\n\s*){0,5}((?:[A-Za-z0-9+/=]|\\[nr]|[\s"',+\\]){64})"#;
    "private key" ["PuTTY-User-Key-File-"] Form:
        r"PuTTY-User-Key-File-[23]: [a-z0-9-]+\s[^\x00]{0,400}?Private-Lines: [0-9]";
    "private key" ["AGE-SECRET-KEY-1"] Drawn:
        r"\bAGE-SECRET-KEY-1([0-9A-Z]{58})\b";
    "AWS access key" ["AKIA" "ASIA"] Drawn:
        r"\b(?:AKIA|ASIA)([A-Z2-7]{16})\b";
    "AWS secret key" ["secret_key" "secret_access_key" "secretkey" "secretaccesskey"] Drawn:
        r#"(?i:aws)?_?(?i:secret_?(?:access_?)?key)["']?\s{0,8}(?:=|:|=>)\s{0,8}["']?([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)"#;
    "Google API key" ["AIza"] Drawn:
        r"\bAIza([0-9A-Za-z_-]{35})(?:[^0-9A-Za-z_-]|$)";
    "Google OAuth credential" ["GOCSPX-" "ya29."] Drawn:
        r"\b(?:GOCSPX-([A-Za-z0-9_-]{28})|ya29\.[0-9A-Za-z_-]{50,})";
    "Azure storage or service bus key" ["AccountKey=" "SharedAccessKey="] Drawn:
        r"(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{42,86}={1,2})";
    "Azure shared access signature" ["sig="] Drawn:
        r"[?&;](?i:sig)=([A-Za-z0-9%/+]{43,70}(?:%3[Dd]|=))";
    "Azure client secret" ["Q~"] Drawn:
        r#"(?:^|[^A-Za-z0-9_~.-])([A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34})(?:[^A-Za-z0-9_~.-]|$)"#;
    "GitHub token" ["ghp_" "gho_" "ghu_" "ghs_" "ghr_"] Drawn:
        r"\bgh[pousr]_([A-Za-z0-9]{36,251})\b";
    "GitHub token" ["github_pat_"] Drawn:
        r"\bgithub_pat_([A-Za-z0-9]{22}_[A-Za-z0-9]{59})\b";
    "GitLab token" ["glpat-" "gldt-" "glrt-" "glptt-" "glcbt-" "glft-" "glsoat-" "glagent-"] Drawn:
        r"\bgl(?:pat|dt|rt|ptt|cbt|ft|soat|agent)-([A-Za-z0-9_-]{20,})";
    "Slack token" ["xoxb-" "xoxp-" "xoxa-" "xoxe" "xoxr-" "xoxs-" "xapp-"] Drawn:
        r"\b(?:xox[abprs]-|xoxe\.xox[bp]-|xoxe-|xapp-)([0-9]{1,14}-[0-9A-Za-z-]{20,})";
    "Slack webhook" ["hooks.slack.com/"] Drawn:
        r"hooks\.slack\.com/(?:services|workflows|triggers)/T[A-Z0-9]{8,12}/[A-Z0-9]{8,20}/([A-Za-z0-9]{20,})";
    "Discord webhook" ["/api/webhooks/"] Drawn:
        r"discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/([A-Za-z0-9_-]{60,})";
    "Telegram bot token" [":AA"] Drawn:
        r"\b[0-9]{8,10}:(AA[A-Za-z0-9_-]{33})(?:[^A-Za-z0-9_-]|$)";
    "Stripe key" ["sk_live_" "rk_live_"] Drawn:
        r"\b[sr]k_live_([0-9A-Za-z]{20,})\b";
    "npm token" ["npm_"] Drawn:
        r"\bnpm_([A-Za-z0-9]{36})\b";
    "PyPI token" ["pypi-AgE"] Drawn:
        r"\bpypi-AgE([A-Za-z0-9_-]{50,})";
    "Hugging Face token" ["hf_" "api_org_"] Drawn:
        r"\b(?:hf_|api_org_)([A-Za-z0-9]{34})\b";
    // Every key of this provider holds this, which says "OpenAI" in base 64.
    "OpenAI key" ["T3BlbkFJ"] Drawn:
        r"\bsk-([A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,})";
    "Anthropic key" ["sk-ant-"] Drawn:
        r"\bsk-ant-[a-z]{3,6}[0-9]{2}-([A-Za-z0-9_-]{80,})";
    "SendGrid key" ["SG."] Drawn:
        r"\bSG\.([A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})(?:[^A-Za-z0-9_-]|$)";
    "Twilio credential" ["twilio"] Drawn:
        r#"(?i:twilio)[^\n]{0,40}(?i:token|secret)["']?\s{0,4}[=:]\s{0,4}["']?([0-9a-f]{32})\b"#;
    "JSON web token" ["eyJ"] Drawn:
        r"\beyJ[A-Za-z0-9_-]{12,}\.eyJ([A-Za-z0-9_-]{12,}\.[A-Za-z0-9_-]{27,})";
    "DigitalOcean token" ["dop_v1_" "doo_v1_" "dor_v1_"] Drawn:
        r"\bdo[por]_v1_([a-f0-9]{64})\b";
    "Docker Hub token" ["dckr_pat_" "dckr_oat_"] Drawn:
        r"\bdckr_[po]at_([A-Za-z0-9_-]{27,})";
    "Databricks token" ["dapi"] Drawn:
        r"\bdapi([a-f0-9]{32})(?:-[0-9])?\b";
    "HashiCorp token" ["hvs." ".atlasv1."] Drawn:
        r"\b(?:hvs\.([A-Za-z0-9_-]{90,})|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,})";
    "Artifactory key" ["AKCp" "cmVmdGtu"] Drawn:
        r"\b(?:AKCp[A-Za-z0-9]{69}|cmVmdGtu[A-Za-z0-9]{56})\b";
    "prefix.dev token" ["pfx_"] Drawn:
        r"\bpfx_([A-Za-z0-9_-]{20,})";
    "token in the URL of a conda channel" ["/t/"] ChannelToken:
        r#"[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>]*?/t/([A-Za-z0-9_-]{4,200})/([^\s/"'<>]+)"#;
    "credentials in a URL" ["://"] Login:
        r#"[A-Za-z][A-Za-z0-9+.-]{1,20}://([^\s/?#:@"'`<>\\(){},;|]{0,200}):([^\s/@"'`<>\\]{3,300})@([A-Za-z0-9._:$%\[{-]+)"#;
    "login in a header of a request" ["basic"] BasicLogin in OF_REQUESTS:
        r"(?i:basic)[ \t]+([A-Za-z0-9+/_-]{6,}={0,2})";
    "token in a header of a request" ["bearer" "authorization"] NoPlaceholder in OF_REQUESTS:
        r#"(?i:bearer|authorization["']?:[ \t]*token)[ \t]+([A-Za-z0-9._~+/=-]{6,})"#;
    "token in a URL" ["token=" "key=" "password=" "secret=" "signature=" "jwt=" "auth="] NoPlaceholder in OF_REQUESTS:
        r#"://[^\s"'<>]{1,2000}?[?&](?i:[a-z0-9_.-]{0,20}token|[a-z_-]{0,10}key|password|[a-z_]{0,10}secret|x-amz-signature|jwt|auth)=([^\s&#"'<>\x00-\x1f\x7f-\xff]{4,})"#;
    "login of an npm registry" ["_auth" "_password"] NoPlaceholder in [".npmrc", "npmrc"]:
        r"(?m):?_(?:auth|authToken|password)[ \t]*=[ \t]*([^\s]+)";
    "password" ["password"] NoPlaceholder in ["my.cnf"]:
        r#"(?m)^[ \t]*password[ \t]*=[ \t]*["']?([^\s"']+)"#;
    "credentials of a registry" ["\"auth\"" "\"identitytoken\"" "\"registrytoken\""] NoPlaceholder in [".docker/config.json", "dockerconfig.json"]:
        r#""(?:auth|identitytoken|registrytoken)"\s*:\s*"([A-Za-z0-9+/=._-]{8,})""#;
    // The file of `pixi auth login` where there is no keyring.
    "credentials of a conda channel" ["BearerToken" "CondaToken" "BasicHTTP" "S3Credentials" "OAuth"] NoPlaceholder in ["credentials.json"]:
        r#""(?:BearerToken|CondaToken)"\s*:\s*"([^"]+)"|"BasicHTTP"\s*:\s*\{|"S3Credentials"\s*:\s*\{"#;
    "value of a variable that is named like a secret" ["pass" "secret" "token" "credential" "api" "_key"] Variable in [".env", ".envrc"]:
        r#"(?m)^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*["']?([^\s"'#]+)"#;
};
