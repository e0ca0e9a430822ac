use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tramline_server::auth::{Claims, Keys, TokenVerifier};

use super::{run, stderr, tramline};

fn verified(jwt: &str, keys: Keys) -> Claims {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    TokenVerifier::new(Arc::new(keys)).verify(jwt, now as i64).expect("a good token")
}

#[test]
fn a_token_is_all_that_is_printed_and_opens_the_room() {
    let output =
        run(&["token", "--room", "yard", "--identity", "arm", "--no-subscribe", "--attribute", "role=arm"]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let claims = verified(text.strip_suffix('\n').expect("one line"), Keys::dev());
    assert_eq!(claims.identity(), "arm");
    assert_eq!(
        claims.video.as_ref().map(|video| (video.room.as_str(), video.room_join)),
        Some(("yard", true))
    );
    assert_eq!(claims.video.as_ref().map(|video| video.may_subscribe()), Some(false));
    assert_eq!(claims.attributes.get("role").map(String::as_str), Some("arm"));
}

#[test]
fn key_and_secret_come_from_the_environment() {
    let output = tramline(&["token", "--room", "yard", "--identity", "arm"])
        .env("LIVEKIT_API_KEY", "key")
        .env("LIVEKIT_API_SECRET", "hidden")
        .output()
        .expect("the binary runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(verified(text.trim_end(), Keys::pair("key", "hidden")).identity(), "arm");
}

#[test]
fn a_key_without_its_secret_is_refused() {
    let output = run(&["token", "--room", "yard", "--identity", "arm", "--api-key", "key"]);
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    assert!(stderr(&output).contains("--api-secret"), "{}", stderr(&output));
}

#[test]
fn a_wrong_validity_names_what_is_expected() {
    let output = run(&["token", "--room", "yard", "--identity", "arm", "--valid-for", "soon"]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("as in 90s, 30m, 6h or 7d"), "{}", stderr(&output));
}
