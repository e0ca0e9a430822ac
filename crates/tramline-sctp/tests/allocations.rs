//! Counts what an association allocates once it is warm: nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tramline_sctp::{Association, Config, Delivery, Event};
use tramline_sim::VirtualClock;

thread_local! {
    /// Whether this thread's allocations count, and how many there were.
    static COUNTED: Cell<(bool, u64)> = const { Cell::new((false, 0)) };
}

struct Counting;

impl Counting {
    fn note() {
        // A thread that is being torn down has no count any more.
        let _ = COUNTED.try_with(|counted| {
            let (on, count) = counted.get();
            counted.set((on, count + u64::from(on)));
        });
    }
}

#[expect(unsafe_code, reason = "there is no other way to see allocations")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::note();
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::note();
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations in `work`.
fn counted<T>(work: impl FnOnce() -> T) -> (T, u64) {
    COUNTED.set((true, 0));
    let result = work();
    let (_, count) = COUNTED.replace((false, 0));
    (result, count)
}

/// Two associations with 5 ms between them. What carries the packets is not counted.
struct Pair {
    now: Instant,
    ends: [Association; 2],
    flying: Vec<(Instant, usize, Bytes)>,
    allocations: u64,
    received: u64,
    /// One packet of so many is lost; 0: none.
    lose: u64,
    packets: u64,
}

impl Pair {
    fn connected(lose: u64) -> Self {
        let ends = [1, 2].map(|end| {
            let mut config = Config::new([end; 32]);
            config.zero_checksum = true;
            Association::new(config)
        });
        let mut pair = Self {
            now: VirtualClock::new().now(),
            ends,
            flying: Vec::new(),
            allocations: 0,
            received: 0,
            lose: 0,
            packets: 0,
        };
        pair.ends[0].connect();
        while !pair.ends.iter().all(Association::is_connected) {
            pair.turn();
        }
        pair.lose = lose;
        pair
    }

    /// One millisecond.
    fn turn(&mut self) {
        let mut buf = [0; 1_500];
        for end in 0..2 {
            let due: Vec<Bytes> = self
                .flying
                .extract_if(.., |(at, to, _)| *to == end && *at <= self.now)
                .map(|(_, _, packet)| packet)
                .collect();
            let (association, now) = (&mut self.ends[end], self.now);
            let ((), allocated) = counted(|| {
                due.iter().for_each(|packet| association.handle_packet(now, packet));
                if association.poll_timeout().is_some_and(|at| at <= now) {
                    association.handle_timeout(now);
                }
                while let Some(event) = association.poll_event() {
                    if let Event::Readable(stream) = event {
                        while association.recv(stream).is_some() {
                            self.received += 1;
                        }
                    }
                }
            });
            self.allocations += allocated;
            loop {
                let (len, allocated) = counted(|| self.ends[end].poll_transmit(self.now, &mut buf));
                self.allocations += allocated;
                let Some(len) = len else { break };
                self.packets += 1;
                if self.lose > 0 && self.packets.is_multiple_of(self.lose) {
                    continue;
                }
                let mut packet = BytesMut::from(&buf[..len + 1]);
                // Shared memory, as a receive buffer for several packets is.
                let packet = packet.split_to(len).freeze();
                self.flying.push((self.now + Duration::from_millis(5), 1 - end, packet));
            }
        }
        self.now += Duration::from_millis(1);
    }

    fn send(&mut self, payload: &Bytes, delivery: Delivery) {
        let payload = payload.clone();
        for end in 0..2 {
            let (sent, allocated) =
                counted(|| self.ends[end].send(self.now, 1, 53, payload.clone(), delivery));
            sent.expect("connected");
            self.allocations += allocated;
        }
    }
}

#[test]
fn a_warm_association_allocates_nothing_per_packet() {
    let spared = Delivery { copies: 2, flow: 1, ..Delivery::ONCE };
    for (len, delivery, lose) in [
        (1_024, Delivery::ONCE, 0),
        (60, spared, 0),
        (1_024, Delivery::RELIABLE, 0),
        (1_024, Delivery::ONCE, 50),
        (60, spared, 50),
        (1_024, Delivery::RELIABLE, 50),
    ] {
        let mut pair = Pair::connected(lose);
        let mut block = BytesMut::zeroed(len + 1);
        let payload = block.split_to(len).freeze();
        for turn in 0..6_000 {
            if turn == 3_000 {
                (pair.allocations, pair.received) = (0, 0);
            }
            pair.send(&payload, delivery);
            pair.turn();
        }
        assert!(pair.received > 5_000, "{} of 6000 messages of {len} bytes", pair.received);
        assert_eq!(pair.allocations, 0, "for {} messages of {len} bytes, {delivery:?}", pair.received);
    }
}
