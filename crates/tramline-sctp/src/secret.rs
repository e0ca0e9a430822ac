//! Everything that must not be guessed, derived from the secret that the caller gave.

use aws_lc_rs::hmac;

pub(crate) struct Secret {
    key: hmac::Key,
    drawn: u64,
}

impl Secret {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret), drawn: 0 }
    }

    /// A number that nobody can predict; each call gives another one.
    pub(crate) fn draw(&mut self) -> u32 {
        self.drawn += 1;
        let mut message = *b"draw\0\0\0\0\0\0\0\0";
        message[4..].copy_from_slice(&self.drawn.to_be_bytes());
        let tag = hmac::sign(&self.key, &message);
        u32::from_be_bytes([0, 1, 2, 3].map(|at| tag.as_ref()[at]))
    }

    /// A verification tag: any number but 0.
    pub(crate) fn draw_tag(&mut self) -> u32 {
        self.draw().max(1)
    }

    /// Authenticates a cookie.
    pub(crate) fn sign(&self, cookie: &[u8]) -> hmac::Tag {
        hmac::sign(&self.key, cookie)
    }

    pub(crate) fn verify(&self, cookie: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&self.key, cookie, tag).is_ok()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}
