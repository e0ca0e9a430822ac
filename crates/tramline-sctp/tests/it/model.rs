//! Random operations against a model of what data channels promise.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use tramline_sctp::{Delivery, Event};
use tramline_sim::{Conditions, run_seeds};

use crate::link::{Link, delay, message};

/// What was sent on one stream of one side since it began anew, and where in it the receiver is.
#[derive(Debug, Default)]
struct Sent {
    messages: Vec<(Bytes, Delivery)>,
    /// Place of the last ordered one that arrived.
    ordered: Option<usize>,
    arrived: Vec<usize>,
}

impl Sent {
    /// A message arrived: it was sent, did not arrive before, and no ordered one that is newer did.
    fn handle_arrival(&mut self, payload: &Bytes) {
        let at = self.messages.iter().position(|(sent, _)| sent == payload);
        let at = at.unwrap_or_else(|| panic!("a message of {} bytes that was never sent", payload.len()));
        assert!(!self.arrived.contains(&at), "message {at} came twice");
        if self.messages[at].1.ordered {
            let last = self.ordered.replace(at);
            assert!(last.is_none_or(|last| last < at), "message {at} came after {last:?}");
            for (earlier, (_, delivery)) in self.messages[..at].iter().enumerate() {
                let reliable = is_reliable(delivery) && delivery.ordered;
                assert!(!reliable || self.arrived.contains(&earlier), "{at} came before reliable {earlier}");
            }
        }
        self.arrived.push(at);
    }

    fn assert_complete(&self) {
        for (at, (_, delivery)) in self.messages.iter().enumerate() {
            assert!(!is_reliable(delivery) || self.arrived.contains(&at), "reliable message {at} is missing");
        }
    }
}

fn is_reliable(delivery: &Delivery) -> bool {
    delivery.max_retransmits.is_none() && delivery.lifetime.is_none()
}

fn deliveries(chance: &mut Rng) -> Delivery {
    let ordered = chance.bool();
    let (max_retransmits, lifetime) = match chance.u8(0..5) {
        0 => (Some(0), None),
        1 => (Some(2), None),
        2 => (None, Some(Duration::from_millis(chance.u64(1..300)))),
        _ => (None, None),
    };
    let receipt = chance.bool().then(|| chance.u64(..));
    Delivery { ordered, max_retransmits, lifetime, copies: chance.u8(0..4), flow: chance.u32(0..2), receipt }
}

fn conditions(chance: &mut Rng) -> Conditions {
    let mut conditions = Conditions {
        loss: [0.0, 0.0, 0.02, 0.2, 0.6][chance.usize(0..5)],
        duplicate: [0.0, 0.1][chance.usize(0..2)],
        ..delay(chance.u64(1..60))
    };
    if chance.bool() {
        conditions.jitter = Duration::from_millis(chance.u64(1..40));
    }
    conditions
}

#[test]
fn what_arrives_is_what_the_model_allows() {
    run_seeds(150, |seed| {
        let mut chance = Rng::with_seed(seed);
        let mut link = Link::with(seed, delay(10), |config| {
            config.first_tsn = Some(u32::MAX - (seed % 50) as u32);
            config.receive_buffer = 100_000;
        })
        .connect();
        link.network.set_conditions(conditions(&mut chance));
        let mut model: BTreeMap<(usize, u16), Sent> = BTreeMap::new();
        let (mut number, mut receipts, mut told) = (0, [0_usize; 2], [0_usize; 2]);
        let mut look = |link: &mut Link, model: &mut BTreeMap<(usize, u16), Sent>| {
            for (end, told) in told.iter_mut().enumerate() {
                for got in link.take(end) {
                    let sent = model.get_mut(&(1 - end, got.stream)).expect("a stream that was used");
                    sent.handle_arrival(&got.payload);
                }
                let acknowledged = |event: &&Event| matches!(event, Event::Acknowledged(_));
                *told += link.events[end].iter().filter(acknowledged).count();
                assert!(!link.events[end].iter().any(|event| matches!(event, Event::Closed(_))));
                link.events[end].clear();
            }
            told
        };
        for _ in 0..120 {
            match chance.u8(0..10) {
                0..=5 => {
                    let (from, stream) = (chance.usize(0..2), chance.u16(0..3));
                    let len = [1, 30, 900, 1_150, 3_000, 20_000][chance.usize(0..6)] + chance.usize(0..40);
                    let delivery = deliveries(&mut chance);
                    let payload = message(len.max(8), number);
                    number += 1;
                    let reliable_receipt = delivery.receipt.is_some() && is_reliable(&delivery);
                    receipts[from] += usize::from(reliable_receipt);
                    let sent = model.entry((from, stream)).or_default();
                    let delivery = if is_reliable(&delivery) {
                        delivery
                    } else {
                        Delivery { receipt: None, ..delivery }
                    };
                    sent.messages.push((payload.clone(), delivery));
                    link.send(from, stream, payload, delivery);
                }
                6..=7 => link.run_for(Duration::from_millis(chance.u64(0..200))),
                8 => link.network.set_conditions(conditions(&mut chance)),
                _ => {
                    let end = chance.usize(0..2);
                    link.reads[end] = chance.bool();
                    if link.reads[end] {
                        link.fetch(end);
                    }
                }
            }
            look(&mut link, &mut model);
        }
        link.network.set_conditions(delay(10));
        link.reads = [true, true];
        for end in 0..2 {
            link.fetch(end);
        }
        link.run_until(Duration::from_secs(120), |link| {
            link.ends.iter().all(|end| end.stats().buffered == 0 && end.stats().in_flight == 0)
        });
        link.run_for(Duration::from_secs(1));
        let told = look(&mut link, &mut model);
        assert_eq!(told, receipts, "each reliable message with a receipt is acknowledged once");
        model.values().for_each(Sent::assert_complete);
        for end in &link.ends {
            assert_eq!(end.stats().receive_buffered, 0, "{:?}", end.stats());
        }
    });
}
