//! The connections between a client and its server, as signalling names them.

use livekit_protocol as proto;

/// Which connections there are between a client and its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// One, which the client offers in its join request (LiveKit's v1 signalling).
    #[default]
    Single,
    /// Two (v0): the client offers the one that it sends on, the server the one that it receives on.
    Dual,
}

/// One of the connections (LiveKit `SignalTarget`). With [`Layout::Single`] the publisher's is the only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// Offered by the client.
    Publisher,
    /// Offered by the server.
    Subscriber,
}

impl Target {
    pub(crate) fn from_wire(value: i32) -> Option<Self> {
        match proto::SignalTarget::try_from(value).ok()? {
            proto::SignalTarget::Publisher => Some(Self::Publisher),
            proto::SignalTarget::Subscriber => Some(Self::Subscriber),
        }
    }

    /// Its number in the protocol.
    pub fn to_wire(self) -> i32 {
        let value = match self {
            Self::Publisher => proto::SignalTarget::Publisher,
            Self::Subscriber => proto::SignalTarget::Subscriber,
        };
        value as i32
    }
}
