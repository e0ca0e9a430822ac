//! Where a command connects to and with whose key.

use clap::Args;

/// The key that `serve --dev` installs.
pub(crate) const DEV_KEY: &str = "devkey";
/// The secret that `serve --dev` installs.
pub(crate) const DEV_SECRET: &str = "secret";

/// Options of every command that signs tokens.
#[derive(Args, Clone, Debug)]
pub(crate) struct ApiKey {
    /// API key that signs the tokens (the `--dev` one when neither key nor secret is given).
    #[arg(long, env = "LIVEKIT_API_KEY", value_name = "KEY", requires = "api_secret")]
    pub(crate) api_key: Option<String>,
    /// Secret of the API key.
    #[arg(
        long,
        env = "LIVEKIT_API_SECRET",
        value_name = "SECRET",
        hide_env_values = true,
        requires = "api_key"
    )]
    pub(crate) api_secret: Option<String>,
}

impl ApiKey {
    /// The key and the secret to sign with.
    pub(crate) fn pair(&self) -> (&str, &str) {
        (self.api_key.as_deref().unwrap_or(DEV_KEY), self.api_secret.as_deref().unwrap_or(DEV_SECRET))
    }
}

/// Options of every command that joins a room.
#[derive(Args, Clone, Debug)]
pub(crate) struct Target {
    /// Server to connect to, as in ws://127.0.0.1:7880; without it a server is embedded.
    #[arg(long, env = "LIVEKIT_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) key: ApiKey,
}
