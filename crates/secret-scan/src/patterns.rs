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
const OF_REQUESTS: &[&str] = &[
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

const fn everywhere(
    kind: &'static str,
    marks: &'static [&'static str],
    form: &'static str,
    proof: Proof,
) -> SecretPattern {
    SecretPattern {
        kind,
        marks,
        form,
        proof,
        files: &[],
    }
}

/// All of them.
pub const PATTERNS: &[SecretPattern] = &[
    everywhere(
        "private key",
        &["PRIVATE KEY"],
        // Header lines of PEM (RFC 1421) and OpenPGP (RFC 4880) may come first;
        // in JSON and source text the ends of lines are escaped.
        r#"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:[\s"',+\\]|\\[nr])*(?:[A-Za-z-]{3,20}: [^\n]{0,200}\n\s*){0,5}((?:[A-Za-z0-9+/=]|\\[nr]|[\s"',+\\]){64})"#,
        Proof::Block,
    ),
    everywhere(
        "private key",
        &["PuTTY-User-Key-File-"],
        r"PuTTY-User-Key-File-[23]: [a-z0-9-]+\s[^\x00]{0,400}?Private-Lines: [0-9]",
        Proof::Form,
    ),
    everywhere(
        "private key",
        &["AGE-SECRET-KEY-1"],
        r"\bAGE-SECRET-KEY-1([0-9A-Z]{58})\b",
        Proof::Drawn,
    ),
    everywhere(
        "AWS access key",
        &["AKIA", "ASIA"],
        r"\b(?:AKIA|ASIA)([A-Z2-7]{16})\b",
        Proof::Drawn,
    ),
    everywhere(
        "AWS secret key",
        &[
            "secret_key",
            "secret_access_key",
            "secretkey",
            "secretaccesskey",
        ],
        r#"(?i:aws)?_?(?i:secret_?(?:access_?)?key)["']?\s{0,8}(?:=|:|=>)\s{0,8}["']?([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)"#,
        Proof::Drawn,
    ),
    everywhere(
        "Google API key",
        &["AIza"],
        r"\bAIza([0-9A-Za-z_-]{35})(?:[^0-9A-Za-z_-]|$)",
        Proof::Drawn,
    ),
    everywhere(
        "Google OAuth credential",
        &["GOCSPX-", "ya29."],
        r"\b(?:GOCSPX-([A-Za-z0-9_-]{28})|ya29\.[0-9A-Za-z_-]{50,})",
        Proof::Drawn,
    ),
    everywhere(
        "Azure storage or service bus key",
        &["AccountKey=", "SharedAccessKey="],
        r"(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{42,86}={1,2})",
        Proof::Drawn,
    ),
    everywhere(
        "Azure shared access signature",
        &["sig="],
        r"[?&;](?i:sig)=([A-Za-z0-9%/+]{43,70}(?:%3[Dd]|=))",
        Proof::Drawn,
    ),
    everywhere(
        "Azure client secret",
        &["Q~"],
        r#"(?:^|[^A-Za-z0-9_~.-])([A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34})(?:[^A-Za-z0-9_~.-]|$)"#,
        Proof::Drawn,
    ),
    everywhere(
        "GitHub token",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        r"\bgh[pousr]_([A-Za-z0-9]{36,251})\b",
        Proof::Drawn,
    ),
    everywhere(
        "GitHub token",
        &["github_pat_"],
        r"\bgithub_pat_([A-Za-z0-9]{22}_[A-Za-z0-9]{59})\b",
        Proof::Drawn,
    ),
    everywhere(
        "GitLab token",
        &[
            "glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glft-", "glsoat-", "glagent-",
        ],
        r"\bgl(?:pat|dt|rt|ptt|cbt|ft|soat|agent)-([A-Za-z0-9_-]{20,})",
        Proof::Drawn,
    ),
    everywhere(
        "Slack token",
        &["xoxb-", "xoxp-", "xoxa-", "xoxe", "xoxr-", "xoxs-", "xapp-"],
        r"\b(?:xox[abprs]-|xoxe\.xox[bp]-|xoxe-|xapp-)([0-9]{1,14}-[0-9A-Za-z-]{20,})",
        Proof::Drawn,
    ),
    everywhere(
        "Slack webhook",
        &["hooks.slack.com/"],
        r"hooks\.slack\.com/(?:services|workflows|triggers)/T[A-Z0-9]{8,12}/[A-Z0-9]{8,20}/([A-Za-z0-9]{20,})",
        Proof::Drawn,
    ),
    everywhere(
        "Discord webhook",
        &["/api/webhooks/"],
        r"discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/([A-Za-z0-9_-]{60,})",
        Proof::Drawn,
    ),
    everywhere(
        "Telegram bot token",
        &[":AA"],
        r"\b[0-9]{8,10}:(AA[A-Za-z0-9_-]{33})(?:[^A-Za-z0-9_-]|$)",
        Proof::Drawn,
    ),
    everywhere(
        "Stripe key",
        &["sk_live_", "rk_live_"],
        r"\b[sr]k_live_([0-9A-Za-z]{20,})\b",
        Proof::Drawn,
    ),
    everywhere(
        "npm token",
        &["npm_"],
        r"\bnpm_([A-Za-z0-9]{36})\b",
        Proof::Drawn,
    ),
    everywhere(
        "PyPI token",
        &["pypi-AgE"],
        r"\bpypi-AgE([A-Za-z0-9_-]{50,})",
        Proof::Drawn,
    ),
    everywhere(
        "Hugging Face token",
        &["hf_", "api_org_"],
        r"\b(?:hf_|api_org_)([A-Za-z0-9]{34})\b",
        Proof::Drawn,
    ),
    everywhere(
        "OpenAI key",
        // Every key of this provider holds this, which says "OpenAI" in base 64.
        &["T3BlbkFJ"],
        r"\bsk-([A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,})",
        Proof::Drawn,
    ),
    everywhere(
        "Anthropic key",
        &["sk-ant-"],
        r"\bsk-ant-[a-z]{3,6}[0-9]{2}-([A-Za-z0-9_-]{80,})",
        Proof::Drawn,
    ),
    everywhere(
        "SendGrid key",
        &["SG."],
        r"\bSG\.([A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})(?:[^A-Za-z0-9_-]|$)",
        Proof::Drawn,
    ),
    everywhere(
        "Twilio credential",
        &["twilio"],
        r#"(?i:twilio)[^\n]{0,40}(?i:token|secret)["']?\s{0,4}[=:]\s{0,4}["']?([0-9a-f]{32})\b"#,
        Proof::Drawn,
    ),
    everywhere(
        "JSON web token",
        &["eyJ"],
        r"\beyJ[A-Za-z0-9_-]{12,}\.eyJ([A-Za-z0-9_-]{12,}\.[A-Za-z0-9_-]{27,})",
        Proof::Drawn,
    ),
    everywhere(
        "DigitalOcean token",
        &["dop_v1_", "doo_v1_", "dor_v1_"],
        r"\bdo[por]_v1_([a-f0-9]{64})\b",
        Proof::Drawn,
    ),
    everywhere(
        "Docker Hub token",
        &["dckr_pat_", "dckr_oat_"],
        r"\bdckr_[po]at_([A-Za-z0-9_-]{27,})",
        Proof::Drawn,
    ),
    everywhere(
        "Databricks token",
        &["dapi"],
        r"\bdapi([a-f0-9]{32})(?:-[0-9])?\b",
        Proof::Drawn,
    ),
    everywhere(
        "HashiCorp token",
        &["hvs.", ".atlasv1."],
        r"\b(?:hvs\.([A-Za-z0-9_-]{90,})|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,})",
        Proof::Drawn,
    ),
    everywhere(
        "Artifactory key",
        &["AKCp", "cmVmdGtu"],
        r"\b(?:AKCp[A-Za-z0-9]{69}|cmVmdGtu[A-Za-z0-9]{56})\b",
        Proof::Drawn,
    ),
    everywhere(
        "prefix.dev token",
        &["pfx_"],
        r"\bpfx_([A-Za-z0-9_-]{20,})",
        Proof::Drawn,
    ),
    everywhere(
        "token in the URL of a conda channel",
        &["/t/"],
        r#"[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>]*?/t/([A-Za-z0-9_-]{4,200})/([^\s/"'<>]+)"#,
        Proof::ChannelToken,
    ),
    everywhere(
        "credentials in a URL",
        &["://"],
        r#"[A-Za-z][A-Za-z0-9+.-]{1,20}://([^\s/?#:@"'`<>\\(){},;|]{0,200}):([^\s/@"'`<>\\]{3,300})@([A-Za-z0-9._:$%\[{-]+)"#,
        Proof::Login,
    ),
    SecretPattern {
        kind: "login in a header of a request",
        marks: &["basic"],
        form: r"(?i:basic)[ \t]+([A-Za-z0-9+/_-]{6,}={0,2})",
        proof: Proof::BasicLogin,
        files: OF_REQUESTS,
    },
    SecretPattern {
        kind: "token in a header of a request",
        marks: &["bearer", "authorization"],
        form: r#"(?i:bearer|authorization["']?:[ \t]*token)[ \t]+([A-Za-z0-9._~+/=-]{6,})"#,
        proof: Proof::NoPlaceholder,
        files: OF_REQUESTS,
    },
    SecretPattern {
        kind: "token in a URL",
        marks: &[
            "token=",
            "key=",
            "password=",
            "secret=",
            "signature=",
            "jwt=",
            "auth=",
        ],
        form: r#"://[^\s"'<>]{1,2000}?[?&](?i:[a-z0-9_.-]{0,20}token|[a-z_-]{0,10}key|password|[a-z_]{0,10}secret|x-amz-signature|jwt|auth)=([^\s&#"'<>\x00-\x1f\x7f-\xff]{4,})"#,
        proof: Proof::NoPlaceholder,
        files: OF_REQUESTS,
    },
    SecretPattern {
        kind: "login of an npm registry",
        marks: &["_auth", "_password"],
        form: r"(?m):?_(?:auth|authToken|password)[ \t]*=[ \t]*([^\s]+)",
        proof: Proof::NoPlaceholder,
        files: &[".npmrc", "npmrc"],
    },
    SecretPattern {
        kind: "password",
        marks: &["password"],
        form: r#"(?m)^[ \t]*password[ \t]*=[ \t]*["']?([^\s"']+)"#,
        proof: Proof::NoPlaceholder,
        files: &["my.cnf"],
    },
    SecretPattern {
        kind: "credentials of a registry",
        marks: &["\"auth\"", "\"identitytoken\"", "\"registrytoken\""],
        form: r#""(?:auth|identitytoken|registrytoken)"\s*:\s*"([A-Za-z0-9+/=._-]{8,})""#,
        proof: Proof::NoPlaceholder,
        files: &[".docker/config.json", "dockerconfig.json"],
    },
    SecretPattern {
        kind: "credentials of a conda channel",
        marks: &[
            "BearerToken",
            "CondaToken",
            "BasicHTTP",
            "S3Credentials",
            "OAuth",
        ],
        // The file of `pixi auth login` where there is no keyring.
        form: r#""(?:BearerToken|CondaToken)"\s*:\s*"([^"]+)"|"BasicHTTP"\s*:\s*\{|"S3Credentials"\s*:\s*\{"#,
        proof: Proof::NoPlaceholder,
        files: &["credentials.json"],
    },
    SecretPattern {
        kind: "value of a variable that is named like a secret",
        marks: &["pass", "secret", "token", "credential", "api", "_key"],
        form: r#"(?m)^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*["']?([^\s"'#]+)"#,
        proof: Proof::Variable,
        files: &[".env", ".envrc"],
    },
];
