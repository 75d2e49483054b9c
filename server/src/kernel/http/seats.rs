//! Connections: how many one address may have, and what becomes of one whose other end reads nothing.

use super::tries::Source;
use actix_web::rt::net::TcpStream;
use rustix::net::sockopt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A connection is dropped when nothing of what was sent has been taken for so long (`TCP_USER_TIMEOUT`, tcp(7)).
const STALLED: Duration = Duration::from_secs(60);

/// The connections of one listener by where they come from. Cheap to clone.
#[derive(Clone)]
pub struct Seats {
    most: usize,
    taken: Arc<Mutex<HashMap<Source, usize>>>,
}

/// One connection; goes with it.
pub struct Seat {
    seats: Seats,
    source: Source,
}

impl Seats {
    /// At most `most` connections for each address.
    pub fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Source, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, source: Source) -> Option<Seat> {
        let mut taken = self.lock();
        let own = taken.entry(source).or_default();
        if *own >= self.most {
            return None;
        }
        *own += 1;
        Some(Seat { seats: self.clone(), source })
    }

    /// Before anything is read of the connection: its seat, or `None` for one too many.
    pub fn admit(&self, connection: &TcpStream) -> Option<Seat> {
        forget_the_stalled(connection);
        // Whoever has left meanwhile needs none.
        let peer = connection.peer_addr().ok()?;
        let seat = self.take(peer.ip().into());
        if seat.is_none() {
            tracing::debug!(%peer, "too many connections of one address");
        }
        seat
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        if let Some(own) = taken.get_mut(&self.source) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.source);
            }
        }
    }
}

fn forget_the_stalled(tcp: &impl std::os::fd::AsFd) {
    let millis = u32::try_from(STALLED.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = sockopt::set_tcp_user_timeout(tcp, millis) {
        tracing::debug!(%error, "a connection keeps the system's time limit");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn an_address_has_so_many_connections_and_leaves_no_trace() {
        let seats = Seats::new(2);
        let from = |address: &str| seats.take(address.parse::<IpAddr>().unwrap().into());
        let (first, second) = (from("192.0.2.7").unwrap(), from("192.0.2.7").unwrap());
        assert!(from("192.0.2.7").is_none());
        let other = from("192.0.2.8").unwrap();
        drop(first);
        let third = from("192.0.2.7").unwrap();
        assert!(from("192.0.2.7").is_none());
        drop((second, third, other));
        assert!(seats.lock().is_empty());
    }

    #[test]
    fn a_reader_that_takes_nothing_is_dropped_by_the_system() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        forget_the_stalled(&stream);
        assert_eq!(sockopt::tcp_user_timeout(&stream).unwrap(), 60_000);
    }
}
