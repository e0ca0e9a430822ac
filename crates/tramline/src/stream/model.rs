//! All interleavings of a driver and the readers of a stream, as far as the exchange between them goes.
//!
//! A wake-up that is lost leaves somebody waiting for ever, which the model takes for an error.

use std::{
    future::poll_fn,
    time::{Duration, Instant},
};

use loom::{sync::Arc, thread};
use tramline_core::{frame::Frame, queue::QueueConfig};

use super::StreamEnd;

/// The exchange once more, on the locks of the model.
#[path = "exchange.rs"]
#[allow(dead_code, reason = "the models need less of it than the stream does")]
#[allow(clippy::duplicate_mod, reason = "its parent decides what it locks with")]
mod exchange;

mod sync {
    pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};
}

use exchange::{Exchange, Item, Nothing};

fn exchange() -> Arc<Exchange> {
    Arc::new(Exchange::new(QueueConfig::default().with_max_age(None)))
}

fn deliver(exchange: &Exchange, number: u16) {
    let mut frame = Frame::new("x");
    frame.number = number;
    exchange.access(|queue| queue.push_frame(Instant::now(), [frame]));
}

/// Runs `f` on another thread.
fn beside<T: 'static>(
    exchange: &Arc<Exchange>,
    f: impl FnOnce(&Exchange) -> T + 'static,
) -> thread::JoinHandle<T> {
    let exchange = Arc::clone(exchange);
    thread::spawn(move || f(&exchange))
}

/// Reads to the end; the numbers of the frames.
fn read_all(exchange: &Exchange) -> Vec<u16> {
    let mut numbers = Vec::new();
    while let Some(item) = exchange.wait_next(None).expect("without a limit") {
        if let Item::Frame(frame, _) = item {
            numbers.push(frame.number);
        }
    }
    numbers
}

#[test]
fn a_blocked_reader_gets_every_frame_and_the_end() {
    loom::model(|| {
        let exchange = exchange();
        let reader = beside(&exchange, read_all);
        deliver(&exchange, 1);
        exchange.wake();
        deliver(&exchange, 2);
        exchange.end(StreamEnd::Unpublished);
        assert_eq!(reader.join().unwrap(), [1, 2]);
    });
}

#[test]
fn a_task_gets_every_frame_and_the_end() {
    loom::model(|| {
        let exchange = exchange();
        let driver = beside(&exchange, |exchange| {
            deliver(exchange, 1);
            exchange.wake();
            exchange.end(StreamEnd::Unpublished);
        });
        let mut numbers = Vec::new();
        let next = || poll_fn(|cx| exchange.poll_next(Instant::now(), cx));
        while let Some(item) = loom::future::block_on(next()) {
            if let Item::Frame(frame, _) = item {
                numbers.push(frame.number);
            }
        }
        driver.join().unwrap();
        assert_eq!(numbers, [1]);
    });
}

#[test]
fn of_two_blocked_readers_each_frame_reaches_one_and_the_end_both() {
    let mut model = loom::model::Builder::new();
    // Two readers, a driver and all their turns would take minutes without a bound.
    model.preemption_bound = Some(2);
    model.check(|| {
        let exchange = exchange();
        let readers = [(); 2].map(|()| beside(&exchange, read_all));
        deliver(&exchange, 1);
        deliver(&exchange, 2);
        exchange.wake();
        exchange.end(StreamEnd::Unpublished);
        let mut numbers: Vec<_> = readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2]);
    });
}

#[test]
fn a_close_wakes_a_blocked_reader_whatever_the_driver_does_meanwhile() {
    loom::model(|| {
        let exchange = exchange();
        let reader = beside(&exchange, read_all);
        let closer = beside(&exchange, Exchange::close);
        deliver(&exchange, 1);
        exchange.wake();
        assert!(closer.join().unwrap(), "it was open");
        let numbers = reader.join().unwrap();
        assert!(numbers.len() <= 1, "{numbers:?}");
        assert_eq!(exchange.try_next(Instant::now()).unwrap_err(), Nothing::EverMore);
        // The driver hears of the close and forgets what it has put in since.
        exchange.discard();
        assert_eq!(exchange.report(Instant::now()).waiting, 0);
        assert_eq!(exchange.ended(), Some(StreamEnd::Closed));
    });
}

#[test]
fn of_two_closes_one_is_the_first() {
    loom::model(|| {
        let exchange = exchange();
        let other = beside(&exchange, Exchange::close);
        let first = exchange.close();
        assert_ne!(first, other.join().unwrap());
    });
}

#[test]
fn an_end_and_a_close_agree_on_why() {
    loom::model(|| {
        let exchange = exchange();
        let reader = beside(&exchange, |exchange| (read_all(exchange), exchange.ended()));
        let closer = beside(&exchange, Exchange::close);
        exchange.end(StreamEnd::Unpublished);
        closer.join().unwrap();
        let (_, seen) = reader.join().unwrap();
        assert_eq!(seen, exchange.ended(), "the first reason stays");
    });
}

#[test]
fn a_missed_deadline_reaches_a_blocked_reader_in_its_place() {
    loom::model(|| {
        let exchange = exchange();
        let reader = beside(&exchange, |exchange| {
            let mut seen = Vec::new();
            while let Some(item) = exchange.wait_next(None).expect("without a limit") {
                seen.push(match item {
                    Item::Frame(frame, _) => Some(frame.number),
                    Item::DeadlineMissed => None,
                });
            }
            seen
        });
        deliver(&exchange, 1);
        exchange.wake();
        exchange.miss_deadline();
        deliver(&exchange, 2);
        exchange.end(StreamEnd::Unpublished);
        assert_eq!(reader.join().unwrap(), [Some(1), None, Some(2)]);
    });
}

#[test]
fn the_newest_frame_is_never_older_than_one_that_was_seen() {
    loom::model(|| {
        let exchange = exchange();
        let driver = beside(&exchange, |exchange| {
            deliver(exchange, 1);
            deliver(exchange, 2);
        });
        let newest = || {
            let newest = exchange.newest(Instant::now(), Duration::MAX);
            newest.map(|(frame, _)| frame.number)
        };
        let seen = [newest(), newest()];
        assert!(seen.is_sorted(), "{seen:?}");
        driver.join().unwrap();
        assert_eq!(newest(), Some(2));
    });
}
