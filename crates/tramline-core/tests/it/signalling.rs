//! Sessions and a room together, under random operations and delays: when all messages have arrived, everybody agrees.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tramline_core::forward::PeerKey;
use tramline_core::room::{Grants, TransportEnd};
use tramline_core::session::{Event, PublishError};
use tramline_sim::run_seeds;
use tramline_wire::{TrackHandle, TrackSid};

use crate::world::{World, config};

/// Longer than any message is under way, with the update interval behind it.
const SETTLED: Duration = Duration::from_millis(500);

/// What one client is known to want.
#[derive(Default)]
struct Wishes {
    published: BTreeMap<TrackHandle, String>,
    subscribed: BTreeSet<TrackSid>,
    is_active: bool,
}

#[test]
fn everybody_agrees_when_all_messages_have_arrived() {
    run_seeds(300, |seed| {
        let mut world = World::with(seed, config(), Duration::from_millis(60));
        let mut alive: BTreeMap<PeerKey, Wishes> = BTreeMap::new();
        for step in 0..120 {
            act(&mut world, &mut alive, step);
            forget_the_gone(&mut world, &mut alive);
        }
        world.run(SETTLED);
        forget_the_gone(&mut world, &mut alive);
        world.run(SETTLED);
        check(&mut world, &alive);
    });
}

fn act(world: &mut World, alive: &mut BTreeMap<PeerKey, Wishes>, step: usize) {
    let time = Duration::from_micros(world.rng.u64(0..40_000));
    let keys: Vec<PeerKey> = alive.keys().copied().collect();
    let someone = if keys.is_empty() { None } else { Some(keys[world.rng.usize(..keys.len())]) };
    match (world.rng.u8(0..20), someone) {
        (0..=2, _) | (_, None) => {
            let identity = format!("p{}", world.rng.u8(0..8));
            let mut grants = Grants::default();
            grants.hidden = world.rng.u8(0..10) == 0;
            grants.can_publish_data = world.rng.u8(0..10) != 0;
            let key = world.join_as(&identity, grants);
            alive.insert(key, Wishes::default());
        }
        (3..=6, Some(key)) => {
            world.connect(key);
            if let Some(wishes) = alive.get_mut(&key) {
                wishes.is_active = true;
            }
        }
        (7..=10, Some(key)) if !world.client(key).session.is_ended() => {
            let name = format!("t{}", world.rng.u8(0..6));
            let handle = world.publish(key, &name);
            alive.entry(key).or_default().published.insert(handle, format!("{name} at {step}"));
        }
        (11, Some(key)) => {
            let handles: Vec<TrackHandle> = alive[&key].published.keys().copied().collect();
            if !handles.is_empty() {
                let handle = handles[world.rng.usize(..handles.len())];
                world.unpublish(key, handle);
                alive.entry(key).or_default().published.remove(&handle);
            }
        }
        (12..=15, Some(key)) => {
            let known = known_tracks(world, key);
            if !known.is_empty() {
                let track = known[world.rng.usize(..known.len())].clone();
                world.subscribe(key, &track);
                alive.entry(key).or_default().subscribed.insert(track);
            }
        }
        (16, Some(key)) => {
            let subscribed: Vec<TrackSid> = alive[&key].subscribed.iter().cloned().collect();
            if !subscribed.is_empty() {
                let track = &subscribed[world.rng.usize(..subscribed.len())];
                world.unsubscribe(key, track);
                alive.entry(key).or_default().subscribed.remove(track);
            }
        }
        (17, Some(key)) => world.leave(key),
        (18, Some(key)) => world.lose_transport(key, TransportEnd::Lost),
        (_, Some(key)) => world.lose_signal(key),
    }
    world.run(time);
}

fn known_tracks(world: &mut World, key: PeerKey) -> Vec<TrackSid> {
    let session = &world.client(key).session;
    if session.is_ended() {
        return Vec::new();
    }
    session
        .participants()
        .flat_map(|(_, tracks)| tracks.map(|track| track.sid.clone()).collect::<Vec<_>>())
        .collect()
}

/// Clients whose session is over, or whom the room has let go, want nothing any more.
fn forget_the_gone(world: &mut World, alive: &mut BTreeMap<PeerKey, Wishes>) {
    let ended: Vec<PeerKey> =
        alive.keys().copied().filter(|key| world.client(*key).session.is_ended()).collect();
    for key in ended {
        // One that lost only its signalling would stay in the room for ever.
        if !world.gone.contains_key(&key) {
            world.lose_transport(key, TransportEnd::Lost);
        }
        alive.remove(&key);
    }
    for (key, wishes) in alive.iter_mut() {
        for event in world.events(*key) {
            match event {
                Event::PublishFailed { handle, error } => {
                    let expected =
                        [PublishError::DuplicateName, PublishError::NotAllowed, PublishError::Disconnected];
                    assert!(expected.contains(&error), "{error:?}");
                    wishes.published.remove(&handle);
                }
                Event::TrackUnpublished { track, .. } => {
                    wishes.subscribed.remove(&track.sid);
                }
                Event::SubscribeFailed { track, .. } => {
                    wishes.subscribed.remove(&track);
                }
                _ => {}
            }
        }
    }
}

fn check(world: &mut World, alive: &BTreeMap<PeerKey, Wishes>) {
    assert_eq!(world.room.num_participants(), alive.len());
    // Everybody sees the others who are not hidden, with what they publish.
    let mut visible: BTreeMap<PeerKey, (String, usize)> = BTreeMap::new();
    for (key, wishes) in alive {
        let local = world.client(*key).session.local().expect("it joined").clone();
        if !local.permissions.hidden {
            let published = if wishes.is_active { wishes.published.len() } else { 0 };
            visible.insert(*key, (local.identity.to_string(), published));
        }
    }
    for key in alive.keys() {
        let mut expected: Vec<_> =
            visible.iter().filter(|(other, _)| *other != key).map(|(_, v)| v.clone()).collect();
        expected.sort();
        let session = &world.client(*key).session;
        let seen: Vec<_> =
            session.participants().map(|(p, tracks)| (p.identity.to_string(), tracks.count())).collect();
        assert_eq!(seen, expected);
        let counters = session.counters();
        assert_eq!((counters.malformed, counters.ignored, counters.over_limit), (0, 0, 0));
    }
    // What is subscribed to is routed, under the handle that the subscriber knows, and nothing else is.
    let mut wanted = 0;
    for (key, wishes) in alive {
        for track in &wishes.subscribed {
            wanted += 1;
            let routed =
                world.routed.iter().find(|((subscriber, _), sid)| subscriber == key && *sid == track);
            let ((_, handle), _) = routed.expect("routed");
            assert_eq!(world.clients[key].session.subscribed_track(*handle), Some(track));
        }
    }
    assert_eq!((world.routed.len(), world.room.forwarding().len()), (wanted, wanted));
}

#[test]
fn a_track_reaches_a_subscriber_in_two_round_trips() {
    let mut world = World::new(1);
    let robot = world.active("robot");
    let reader = world.active("reader");
    let published = world.publish(robot, "pose");
    world.run(Duration::from_millis(10));
    let track = world.track(reader, "pose").expect("announced");
    world.subscribe(reader, &track);
    let Some(Event::Subscribed { handle, .. }) = world.events(reader).pop() else { panic!("no handle") };
    let routes = world.room.forwarding().routes(robot, published).expect("published");
    assert_eq!(
        routes.iter().map(|route| (route.subscriber, route.handle)).collect::<Vec<_>>(),
        [(reader, handle)]
    );
}
