//! What a client says in the query of `/rtc`, LiveKit's older signalling, where a join request says it otherwise.

use std::collections::BTreeMap;

use base64::Engine as _;
use http::request::Parts;
use livekit_protocol as proto;
use proto::client_info::{Capability, Sdk};
use tramline_core::room::Layout;

use super::admission::{Asked, BASE64};

/// Reads the query. Nothing in it can be wrong: what is not understood is as if it were not there, as LiveKit's server does.
pub(super) fn read(parts: &Parts) -> Asked {
    let mut client = proto::ClientInfo::default();
    let mut attributes = BTreeMap::new();
    let mut is_reconnect = false;
    for (key, value) in url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
        match &*key {
            "sdk" => client.sdk = sdk(&value),
            "version" => client.version = value.into_owned(),
            "protocol" => client.protocol = value.parse().unwrap_or(0),
            "client_protocol" => client.client_protocol = value.parse().unwrap_or(0),
            "os" => client.os = value.into_owned(),
            "os_version" => client.os_version = value.into_owned(),
            "device_model" => client.device_model = value.into_owned(),
            "browser" => client.browser = value.into_owned(),
            "browser_version" => client.browser_version = value.into_owned(),
            "network" => client.network = value.into_owned(),
            "other_sdks" => client.other_sdks = value.into_owned(),
            "capabilities" => client.capabilities = value.split(',').filter_map(capability).collect(),
            "attributes" => attributes = self::attributes(&value).unwrap_or_default(),
            "reconnect" => is_reconnect = matches!(&*value, "1" | "true"),
            _ => {}
        }
    }
    Asked { layout: Layout::Dual, metadata: String::new(), attributes, client, offer: None, is_reconnect }
}

fn sdk(name: &str) -> i32 {
    let sdk = match name {
        "reactnative" => Sdk::ReactNative,
        "unityweb" => Sdk::UnityWeb,
        name => Sdk::from_str_name(&name.to_ascii_uppercase()).unwrap_or(Sdk::Unknown),
    };
    sdk as i32
}

fn capability(name: &str) -> Option<i32> {
    Capability::from_str_name(name).map(|capability| capability as i32)
}

/// A JSON object of strings, in base64.
fn attributes(value: &str) -> Option<BTreeMap<String, String>> {
    serde_json::from_slice(&BASE64.decode(value).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Asked {
        let request = http::Request::get(format!("/rtc?{query}")).body(()).expect("a request");
        read(&request.into_parts().0)
    }

    #[test]
    fn what_official_clients_say_is_understood() {
        let asked = asked(
            "sdk=python&os=linux&os_version=12&device_model=&protocol=17&client_protocol=2&auto_subscribe=1\
             &adaptive_stream=0&version=1.2.1&capabilities=CAP_PACKET_TRAILER,CAP_COMPRESSION_DEFLATE_RAW\
             &reconnect=1&sid=PA_x&attributes=eyJhIjoiYiJ9",
        );
        let client = proto::ClientInfo {
            sdk: Sdk::Python as i32,
            version: "1.2.1".to_owned(),
            protocol: 17,
            client_protocol: 2,
            os: "linux".to_owned(),
            os_version: "12".to_owned(),
            capabilities: vec![
                Capability::CapPacketTrailer as i32,
                Capability::CapCompressionDeflateRaw as i32,
            ],
            ..Default::default()
        };
        let attributes = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let metadata = String::new();
        let layout = Layout::Dual;
        assert_eq!(asked, Asked { layout, metadata, attributes, client, offer: None, is_reconnect: true });
    }

    #[test]
    fn what_is_not_understood_is_as_if_it_were_not_there() {
        let nonsense =
            "protocol=many&client_protocol=&sdk=%00&capabilities=,CAP_X,&attributes=!&reconnect=no&x=y&=";
        assert_eq!(asked(nonsense), asked(""));
        assert_eq!(asked("sdk=reactnative").client.sdk, Sdk::ReactNative as i32);
    }
}
