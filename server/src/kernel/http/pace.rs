//! How slowly a body may come in, and how it ends when it does not.
//!
//! Only time that is spent waiting for the client counts, so a busy server cuts nobody off.

use crate::kernel::error::Refusal;
use actix_web::HttpMessage;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::rt::time::{Instant, Sleep, sleep};
use actix_web::web::Bytes;
use futures_util::Stream;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long one waits for a body.
#[derive(Clone, Copy)]
struct Patience {
    /// It may be slow for so long before its pace is judged.
    warm_up: Duration,
    /// Bytes a second.
    least_pace: u64,
    longest: Duration,
}

/// Hosts give up transfers of less than 1,024 bytes a second as well (`min_rate_bytes`); ten minutes are enough for
/// the piece of 8 MiB in which artifacts are sent at 14 kB/s.
const PATIENCE: Patience =
    Patience { warm_up: Duration::from_secs(10), least_pace: 1_024, longest: Duration::from_secs(600) };

/// Makes the body of a request break off when it is too slow.
pub fn watch(req: &mut ServiceRequest) {
    let payload = req.take_payload();
    req.set_payload(match payload {
        Payload::None => Payload::None,
        body => Payload::Stream { payload: Box::pin(Paced::new(body, PATIENCE)) },
    });
}

/// What is said of a body that did not come in as a whole.
pub fn broken(error: &PayloadError) -> Refusal {
    match error {
        PayloadError::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
            Refusal::new("request.too_slow", StatusCode::REQUEST_TIMEOUT)
                .with("pace", PATIENCE.least_pace)
                .with("minutes", PATIENCE.longest.as_secs() / 60)
        }
        PayloadError::Overflow => {
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            Refusal::new("request.rejected", status).with("status", status.as_u16())
        }
        other => Refusal::bad_request("request.broken_off")
            .with("detail", shared::strict::shorten(&other.to_string())),
    }
}

struct Paced {
    body: Payload,
    patience: Patience,
    /// Time that was spent waiting, without the wait that goes on.
    waited: Duration,
    since: Option<Instant>,
    received: u64,
    alarm: Pin<Box<Sleep>>,
}

impl Paced {
    fn new(body: Payload, patience: Patience) -> Self {
        let alarm = Box::pin(sleep(patience.warm_up));
        Self { body, patience, waited: Duration::ZERO, since: None, received: 0, alarm }
    }

    /// How long one may have waited for what came so far.
    fn allowed(&self) -> Duration {
        let Patience { warm_up, least_pace, longest } = self.patience;
        let paced = Duration::from_millis(self.received.saturating_mul(1_000) / least_pace);
        warm_up.saturating_add(paced).min(longest)
    }
}

impl Stream for Paced {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Poll::Ready(piece) = Pin::new(&mut this.body).poll_next(cx) {
            this.waited += this.since.take().map_or(Duration::ZERO, |since| since.elapsed());
            if let Some(Ok(piece)) = &piece {
                this.received = this.received.saturating_add(piece.len() as u64);
            }
            return Poll::Ready(piece);
        }
        if this.since.is_none() {
            let now = Instant::now();
            this.since = Some(now);
            let left = this.allowed().saturating_sub(this.waited);
            this.alarm.as_mut().reset(now + left);
        }
        match this.alarm.as_mut().poll(cx) {
            Poll::Ready(()) => {
                let slow = io::Error::new(io::ErrorKind::TimedOut, "the body comes in too slowly");
                Poll::Ready(Some(Err(PayloadError::Io(slow))))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;

    const QUICK: Patience = Patience {
        warm_up: Duration::from_millis(300),
        least_pace: 10_000,
        longest: Duration::from_millis(1_500),
    };

    /// How many pieces come through, each with its bytes and the milliseconds before it; and whether it breaks off.
    async fn through(bytes: usize, millis: u64, pieces: usize) -> (usize, bool) {
        let source = futures_util::stream::iter(0..pieces).then(move |_| async move {
            sleep(Duration::from_millis(millis)).await;
            Ok(Bytes::from(vec![0; bytes]))
        });
        let mut paced = Paced::new(Payload::Stream { payload: Box::pin(source) }, QUICK);
        let mut whole = 0;
        while let Some(piece) = paced.next().await {
            match piece {
                Ok(_) => whole += 1,
                Err(error) => {
                    assert_eq!(broken(&error).code, "request.too_slow");
                    return (whole, true);
                }
            }
        }
        (whole, false)
    }

    #[actix_web::test]
    async fn a_body_keeps_a_pace_or_breaks_off() {
        assert_eq!(through(1, 100, 1).await, (1, false), "slow at first");
        assert_eq!(through(1, 900, 1).await, (0, true), "nothing at all");
        let (whole, broke) = through(1, 40, 60).await;
        assert!(broke && whole < 9, "a few bytes a second: {whole}");
        assert_eq!(through(2_000, 40, 20).await, (20, false), "fast enough");
        let (whole, broke) = through(100_000, 40, 100).await;
        assert!(broke && (10..40).contains(&whole), "fast, but without end: {whole}");
    }

    #[actix_web::test]
    async fn only_waiting_for_the_client_counts() {
        let pieces = futures_util::stream::iter([1, 2, 3]).map(|_| Ok(Bytes::from_static(b"x")));
        let mut paced = Paced::new(Payload::Stream { payload: Box::pin(pieces) }, QUICK);
        while let Some(piece) = paced.next().await {
            piece.unwrap();
            sleep(QUICK.longest).await;
        }
    }
}
