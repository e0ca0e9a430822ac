//! The race between a host's addresses (RFC 8305): one broken address or IP version costs a quarter of a second, not a time-out.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until};

/// How long an attempt runs alone before the next address is tried beside it (RFC 8305 section 5).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// More addresses than this are not tried: each costs a socket.
const MAX_ATTEMPTS: usize = 8;

/// Tries the addresses in turn, the next one as soon as the one before failed or [`ATTEMPT_DELAY`] went by, and gives the first
/// connection; the others are dropped. Cancel-safe.
///
/// # Errors
/// All attempts failed: each address with its error, in the order in which they failed.
pub async fn race<F, Fut, T>(
    addrs: &[SocketAddr],
    mut attempt: F,
) -> Result<(T, SocketAddr), Vec<(SocketAddr, io::Error)>>
where
    F: FnMut(SocketAddr) -> Fut,
    Fut: Future<Output = io::Result<T>>,
{
    let mut waiting = order(addrs).into_iter();
    let mut running = FuturesUnordered::new();
    let mut failed = Vec::new();
    let mut next_at = Instant::now();
    loop {
        if running.is_empty() || Instant::now() >= next_at {
            match waiting.next() {
                Some(addr) => {
                    let attempt = attempt(addr);
                    running.push(async move { (addr, attempt.await) });
                    next_at = Instant::now() + ATTEMPT_DELAY;
                }
                None if running.is_empty() => return Err(failed),
                None => {}
            }
        }
        tokio::select! {
            Some((addr, result)) = running.next() => match result {
                Ok(connection) => return Ok((connection, addr)),
                Err(error) => {
                    failed.push((addr, error));
                    next_at = Instant::now();
                }
            },
            () = sleep_until(next_at), if waiting.len() > 0 => {}
        }
    }
}

/// The families in turn, beginning with that of the first address: the resolver has sorted them by RFC 6724 already.
fn order(addrs: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_family = addrs.first().is_some_and(SocketAddr::is_ipv6);
    let (mut firsts, mut others): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
    for addr in addrs {
        let list = if addr.is_ipv6() == first_family { &mut firsts } else { &mut others };
        if !list.contains(addr) {
            list.push(*addr);
        }
    }
    let mut ordered = Vec::with_capacity(addrs.len());
    let (mut firsts, mut others) = (firsts.into_iter(), others.into_iter());
    loop {
        let pair = (firsts.next(), others.next());
        if pair == (None, None) {
            break;
        }
        ordered.extend(pair.0);
        ordered.extend(pair.1);
    }
    ordered.truncate(MAX_ATTEMPTS);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addrs(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|addr| addr.parse().expect("an address")).collect()
    }

    fn refused<T>() -> io::Result<T> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }

    #[test]
    fn families_alternate_beginning_with_the_resolvers_choice() {
        let given = addrs(&["[::1]:1", "[::2]:1", "[::1]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        assert_eq!(order(&given), addrs(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1"]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_is_overtaken_after_the_delay() {
        let given = addrs(&["[::1]:1", "1.1.1.1:1"]);
        let started = Instant::now();
        let (value, addr) =
            race(
                &given,
                |addr| async move { if addr.is_ipv6() { std::future::pending().await } else { Ok(7) } },
            )
            .await
            .expect("the second one answers");
        assert_eq!((value, addr), (7, given[1]));
        assert_eq!(started.elapsed(), ATTEMPT_DELAY); // Virtual time: exact.
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_starts_the_next_attempt_at_once_and_all_are_reported() {
        let given = addrs(&["[::1]:1", "1.1.1.1:1", "[::2]:1"]);
        let started = Instant::now();
        let failed = race(&given, |_| async { refused::<()>() }).await.expect_err("nobody answers");
        assert_eq!(failed.into_iter().map(|(addr, _)| addr).collect::<Vec<_>>(), given);
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn no_address_is_a_failure_not_a_hang() {
        assert!(race(&[], |_| async { refused::<()>() }).await.expect_err("nothing to try").is_empty());
    }
}
