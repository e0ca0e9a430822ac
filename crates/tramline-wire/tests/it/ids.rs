//! Handles and ids refuse what a peer must not be able to slip in.

use std::collections::HashMap;

use tramline_wire::{HandleError, ParticipantSid, RoomSid, SidError, TrackHandle, TrackSid};

#[test]
fn handles_are_1_to_65535() {
    assert_eq!(TrackHandle::try_from(0), Err(HandleError::Zero));
    assert_eq!(TrackHandle::try_from(65_536), Err(HandleError::TooLarge(65_536)));
    assert_eq!(TrackHandle::try_from(u32::MAX), Err(HandleError::TooLarge(u32::MAX)));
    let last = TrackHandle::try_from(65_535).expect("the last handle");
    assert_eq!(u32::from(last), 65_535);
    assert_eq!(last.checked_next(), None);
    assert_eq!(TrackHandle::FIRST.checked_next().map(TrackHandle::get), Some(2));
    assert_eq!(last.to_string(), "65535");
}

#[test]
fn ids_of_another_kind_are_refused() {
    assert!("DTR_abc".parse::<TrackSid>().is_ok());
    let error = "PA_abc".parse::<TrackSid>().expect_err("a participant");
    assert_eq!(error, SidError::Prefix { expected: "DTR_", found: "PA_abc".into() });
    assert_eq!(error.to_string(), r#"id "PA_abc" does not start with DTR_"#);
    assert!(ParticipantSid::try_from("RM_abc").is_err());
    assert!(RoomSid::try_from("rm_abc".to_owned()).is_err());
}

#[test]
fn ids_that_no_server_makes_are_refused() {
    assert_eq!(TrackSid::try_from("DTR_"), Err(SidError::Empty { prefix: "DTR_" }));
    assert_eq!(TrackSid::try_from("DTR_a b"), Err(SidError::Character { found: ' ' }));
    assert_eq!(TrackSid::try_from("DTR_\u{e4}"), Err(SidError::Character { found: '\u{e4}' }));
    assert_eq!(TrackSid::try_from("DTR_a\0"), Err(SidError::Character { found: '\0' }));
    let long = format!("DTR_{}", "a".repeat(125));
    assert_eq!(TrackSid::try_from(long.as_str()), Err(SidError::TooLong { len: 129 }));
    assert!(TrackSid::try_from(&long[..128]).is_ok());
}

#[test]
fn the_error_quotes_only_the_beginning_of_what_a_peer_sent() {
    let error = TrackSid::try_from("x".repeat(100)).expect_err("no prefix");
    assert_eq!(error, SidError::Prefix { expected: "DTR_", found: "x".repeat(24) });
}

#[test]
fn a_map_of_ids_is_asked_with_the_text_of_a_message() {
    let sid = TrackSid::try_from("DTR_abc").expect("a good id");
    let map = HashMap::from([(sid.clone(), 1)]);
    assert_eq!(map.get("DTR_abc"), Some(&1));
    assert_eq!(sid.to_string(), "DTR_abc");
}

#[test]
fn made_ids_are_good_ids_and_differ() {
    let [first, second] = [0, u128::MAX].map(ParticipantSid::from_random);
    assert_ne!(first, second);
    for made in [first, second] {
        assert_eq!(made.as_str().len(), 15);
        assert_eq!(ParticipantSid::try_from(made.as_str()), Ok(made));
    }
}
