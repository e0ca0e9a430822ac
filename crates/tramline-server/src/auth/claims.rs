//! What a token says.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use tramline_core::room;

use super::token::{TokenError, sign};

/// The claims of a token, by their JSON names.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[non_exhaustive]
pub struct Claims {
    /// The API key that signed.
    pub iss: String,
    /// The participant's identity.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sub: String,
    /// An id of the token; stands for the identity in tokens without `sub`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jti: String,
    /// Seconds since 1970 from which the token is valid.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "seconds")]
    pub nbf: Option<i64>,
    /// Seconds since 1970 at which it was made.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "seconds")]
    pub iat: Option<i64>,
    /// Seconds since 1970 until which it is valid; a token without it never expires.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "seconds")]
    pub exp: Option<i64>,
    /// The participant's name for display.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What the participant is: `standard`, `agent`, …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The participant's metadata.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    /// The participant's attributes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// What it may do in rooms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<VideoGrants>,
}

/// What a token permits in rooms (LiveKit `VideoGrant`; it covers data too).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[non_exhaustive]
pub struct VideoGrants {
    /// Create and delete rooms.
    #[serde(skip_serializing_if = "is_false")]
    pub room_create: bool,
    /// List rooms.
    #[serde(skip_serializing_if = "is_false")]
    pub room_list: bool,
    /// Manage the room `room`.
    #[serde(skip_serializing_if = "is_false")]
    pub room_admin: bool,
    /// Join the room `room`.
    #[serde(skip_serializing_if = "is_false")]
    pub room_join: bool,
    /// The room's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub room: String,
    /// Publish media; yes when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish: Option<bool>,
    /// Receive tracks; yes when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe: Option<bool>,
    /// Publish data; what `can_publish` comes to when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish_data: Option<bool>,
    /// Change its own name, metadata and attributes; no when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_update_own_metadata: Option<bool>,
    /// Receive the metrics that clients send; no when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe_metrics: Option<bool>,
    /// Others do not see the participant.
    #[serde(skip_serializing_if = "is_false")]
    pub hidden: bool,
    /// The participant records.
    #[serde(skip_serializing_if = "is_false")]
    pub recorder: bool,
}

impl VideoGrants {
    /// To join `room`, with everything else at its default.
    pub fn join(room: impl Into<String>) -> Self {
        Self { room_join: true, room: room.into(), ..Self::default() }
    }

    /// Whether it may publish media.
    pub fn may_publish(&self) -> bool {
        self.can_publish.unwrap_or(true)
    }

    /// Whether it may publish data.
    pub fn may_publish_data(&self) -> bool {
        self.can_publish_data.unwrap_or(self.may_publish())
    }

    /// Whether it may subscribe.
    pub fn may_subscribe(&self) -> bool {
        self.can_subscribe.unwrap_or(true)
    }

    /// Whether it may change its own name, metadata and attributes.
    pub fn may_update_own_metadata(&self) -> bool {
        self.can_update_own_metadata.unwrap_or(false)
    }
}

impl Claims {
    /// The identity: `sub`, or `jti` in tokens without it.
    pub fn identity(&self) -> &str {
        if self.sub.is_empty() { &self.jti } else { &self.sub }
    }
}

impl Claims {
    /// The claims of a fresh token for a participant that came in with these, valid for `life` seconds from `now`.
    pub(crate) fn refreshed(
        &self,
        key: &str,
        room: &str,
        current: &room::Claims,
        now: i64,
        life: i64,
    ) -> Self {
        let grants = &current.grants;
        let video = VideoGrants {
            room_join: true,
            room: room.to_owned(),
            can_publish: Some(grants.can_publish),
            can_subscribe: Some(grants.can_subscribe),
            can_publish_data: Some(grants.can_publish_data),
            can_update_own_metadata: Some(grants.can_update_own_metadata),
            can_subscribe_metrics: grants.can_subscribe_metrics.then_some(true),
            hidden: grants.hidden,
            recorder: grants.recorder,
            ..self.video.clone().unwrap_or_default()
        };
        Self {
            iss: key.to_owned(),
            sub: current.identity.to_string(),
            jti: String::new(),
            nbf: Some(now),
            iat: Some(now),
            exp: Some(now.saturating_add(life)),
            name: current.name.clone(),
            kind: self.kind.clone(),
            metadata: current.metadata.clone(),
            attributes: current.attributes.clone(),
            video: Some(video),
        }
    }

    /// The token that says this.
    pub(crate) fn signed(&self, secret: &str) -> Result<String, TokenError> {
        sign(self, secret)
    }
}

/// A `NumericDate` may have a fraction (RFC 7519 section 2), and some libraries write one.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let number = Option::<f64>::deserialize(deserializer)?;
    // `as` saturates, which is all that a date beyond the end of time needs.
    Ok(number.map(|number| number as i64))
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}
