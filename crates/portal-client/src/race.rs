use std::{collections::VecDeque, future::Future, io, net::SocketAddr, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::{sleep, timeout};

use crate::Failure;

/// How long to wait for an address before the next one is tried as well: the Connection Attempt Delay of
/// <https://www.rfc-editor.org/rfc/rfc8305#section-5>.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the address that answers first. Addresses are tried in turn, with alternating families; the next attempt starts when
/// one has failed, or after 250 ms without an answer. Each attempt may take as long as `limit`.
pub(crate) async fn race<T, C, F>(addresses: Vec<SocketAddr>, limit: Duration, connect: C) -> Result<T, Failure>
where
    C: Fn(SocketAddr) -> F,
    F: Future<Output = io::Result<T>>,
{
    let mut waiting = interleave(addresses);
    let mut running = FuturesUnordered::new();
    let mut problems = Vec::new();
    loop {
        if let Some(address) = waiting.pop_front() {
            let attempt = connect(address);
            running.push(async move {
                match timeout(limit, attempt).await {
                    Ok(Ok(stream)) => Ok(stream),
                    Ok(Err(error)) => Err(format!("{address} ({error})")),
                    Err(_elapsed) => Err(format!("{address} (no answer within {limit:?})")),
                }
            });
        }
        tokio::select! {
            biased;
            finished = running.next() => match finished {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(problem)) => problems.push(problem),
                None => return Err(Failure::Connect { problem: problems.join(", ") }),
            },
            () = sleep(ATTEMPT_DELAY), if !waiting.is_empty() => {}
        }
    }
}

/// Alternates between the families, starting with that of the first address. Keeps the resolver's order within each family.
fn interleave(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut mixed = VecDeque::new();
    while !first.is_empty() || !second.is_empty() {
        mixed.extend(first.pop_front());
        mixed.extend(second.pop_front());
    }
    mixed
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::pending, io, net::SocketAddr, time::Duration};

    use tokio::time::{Instant, sleep};

    use super::{interleave, race};
    use crate::Failure;

    const LIMIT: Duration = Duration::from_secs(5);

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_alternate() {
        let mixed = interleave(addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]));
        let expected = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(Vec::from(mixed), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_does_not_delay_the_next_by_more_than_a_moment() {
        let start = Instant::now();
        let winner = race(addresses(&["[::1]:1", "1.1.1.1:1"]), LIMIT, |address| async move {
            if address.is_ipv6() {
                pending::<()>().await;
            }
            sleep(Duration::from_millis(30)).await;
            Ok(address)
        });
        assert_eq!(winner.await.unwrap(), "1.1.1.1:1".parse().unwrap());
        assert_eq!(start.elapsed(), Duration::from_millis(280));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_address_still_wins_over_a_slower_second() {
        let winner = race(addresses(&["[::1]:1", "1.1.1.1:1"]), LIMIT, |address| async move {
            sleep(Duration::from_millis(if address.is_ipv6() { 400 } else { 300 })).await;
            Ok(address)
        });
        assert_eq!(winner.await.unwrap(), "[::1]:1".parse().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_starts_the_next_address_at_once() {
        let start = Instant::now();
        let tried = RefCell::new(Vec::new());
        let winner = race(addresses(&["1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1"]), LIMIT, |address| {
            tried.borrow_mut().push(address);
            async move {
                if address.ip().to_string() == "3.3.3.3" {
                    Ok(address)
                } else {
                    Err(io::ErrorKind::ConnectionRefused.into())
                }
            }
        });
        assert_eq!(winner.await.unwrap(), "3.3.3.3:1".parse().unwrap());
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(tried.into_inner().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn every_address_is_named_when_all_fail_and_none_outlives_its_limit() {
        let start = Instant::now();
        let Err(Failure::Connect { problem }) =
            race(addresses(&["[::1]:1", "1.1.1.1:1"]), LIMIT, |address| async move {
                if address.is_ipv6() {
                    return Err::<(), _>(io::ErrorKind::ConnectionRefused.into());
                }
                pending().await
            })
            .await
        else {
            panic!("it connected");
        };
        assert_eq!(problem, "[::1]:1 (connection refused), 1.1.1.1:1 (no answer within 5s)");
        assert_eq!(start.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn no_address_is_a_failure() {
        let result = race(Vec::new(), LIMIT, |_address| async { Ok(()) }).await;
        assert!(matches!(result, Err(Failure::Connect { .. })));
    }
}
