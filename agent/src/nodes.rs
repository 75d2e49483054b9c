//! Several addresses of one site's server: when the one in use gives no answer, the next one is asked, and stays in use until it
//! fails as well.
//!
//! Which addresses there are is a setting of this host; nothing that a server says adds one. What each of them must prove is
//! the same. Never: trust, or a second try of what was refused.

use crate::net::{Address, Call, Carrier, Download, Limits, NetError, Part, Reply, Sink};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The addresses in their order, and which one is in use. Clones share that.
#[derive(Clone, Debug)]
pub struct Nodes {
    all: Arc<[Address]>,
    at: Arc<AtomicUsize>,
}

impl Nodes {
    /// `first` is in use until it fails; one that is named twice counts once.
    pub fn new(first: Address, more: &[Address]) -> Self {
        let mut all = vec![first];
        for address in more {
            if !all.contains(address) {
                all.push(address.clone());
            }
        }
        Self { all: all.into(), at: Arc::default() }
    }

    /// Whether there is a choice.
    pub fn several(&self) -> bool {
        self.all.len() > 1
    }

    fn place(&self) -> usize {
        self.at.load(Ordering::Relaxed) % self.all.len()
    }

    /// How many there are, at least one.
    pub fn count(&self) -> u32 {
        u32::try_from(self.all.len()).unwrap_or(u32::MAX)
    }

    /// The one in use.
    pub fn current(&self) -> &Address {
        &self.all[self.place()]
    }

    /// All of them, beginning with the one in use.
    pub fn from_current(&self) -> impl Iterator<Item = &Address> {
        let (before, after) = self.all.split_at(self.place());
        after.iter().chain(before)
    }

    /// Whoever fails with the one at `place` goes on with the next; two who do so at once go one further, not two.
    fn leave(&self, place: usize) {
        let next = (place + 1) % self.all.len();
        // Somebody else has left it already.
        let _other = self.at.compare_exchange(place, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Makes a carrier to one of the addresses, without contact.
pub type Opening = Box<dyn Fn(&Address, Limits) -> Result<Box<dyn Carrier>, NetError> + Send>;

/// One line to whichever of the addresses answers. Each call asks each of them at most once.
pub struct Line {
    nodes: Nodes,
    open: Opening,
    limits: Limits,
    link: Option<(usize, Box<dyn Carrier>)>,
}

impl Line {
    pub fn new(nodes: Nodes, limits: Limits, open: Opening) -> Self {
        Self { nodes, open, limits, link: None }
    }

    /// Opens the line to the address in use, without contact.
    ///
    /// # Errors
    /// As the opener's.
    pub fn opened(mut self) -> Result<Self, NetError> {
        self.link()?;
        Ok(self)
    }

    /// The next call goes to another address, where there is one.
    pub fn leave(&self) {
        if let Some((place, _)) = &self.link {
            self.nodes.leave(*place);
        }
    }

    /// The line to the address in use, and its place.
    fn link(&mut self) -> Result<(usize, &mut Box<dyn Carrier>), NetError> {
        let place = self.nodes.place();
        if self.link.as_ref().is_none_or(|(open, _)| *open != place) {
            // The old one ends first: each has a process of its own.
            self.link = None;
        }
        let (place, link) = match &mut self.link {
            Some(open) => open,
            none => none.insert((place, (self.open)(&self.nodes.all[place], self.limits)?)),
        };
        Ok((*place, link))
    }

    /// Asks in turn until one answers; `ask` says with its failure whether it may be asked again elsewhere.
    fn in_turn<T>(
        &mut self,
        mut ask: impl FnMut(&mut dyn Carrier) -> Result<T, (NetError, bool)>,
    ) -> Result<T, NetError> {
        let mut left = self.nodes.all.len();
        loop {
            let (place, link) = self.link()?;
            let (error, repeatable) = match ask(&mut **link) {
                Ok(answer) => return Ok(answer),
                Err((error, _)) if !is_of_the_node(&error) => return Err(error),
                Err(failed) => failed,
            };
            self.nodes.leave(place);
            left -= 1;
            if left == 0 || !repeatable {
                return Err(error);
            }
            tracing::warn!(%error, next = %self.nodes.current(), "another address of the server is asked");
        }
    }
}

/// Another address may do better: there was no answer, or none that can be used.
fn is_of_the_node(error: &NetError) -> bool {
    match error {
        NetError::Unreachable { .. }
        | NetError::Tls { .. }
        | NetError::Deadline { .. }
        | NetError::TooSlow { .. }
        | NetError::TooLarge { .. }
        | NetError::Protocol { .. } => true,
        NetError::Refused { .. } | NetError::Sink(_) => false,
    }
}

impl Carrier for Line {
    fn begin_anew(&mut self, limits: Limits) {
        self.limits = limits;
        if let Some((_, link)) = &mut self.link {
            link.begin_anew(limits);
        }
    }

    fn call(&mut self, call: &Call<'_>) -> Result<Reply, NetError> {
        let reply = self.in_turn(|link| link.call(call).map_err(|error| (error, true)))?;
        // Its answer counts, but the next call may find a node that can do its work.
        if reply.status.is_server_error() {
            self.leave();
        }
        Ok(reply)
    }

    fn download(&mut self, what: &Download<'_>, sink: &mut dyn Sink) -> Result<Option<()>, NetError> {
        self.in_turn(|link| {
            let mut once = Once { sink: &mut *sink, begun: false };
            let done = link.download(what, &mut once);
            // What has come in already is gone on from by whoever asked.
            let repeatable = !once.begun;
            done.map_err(|error| (error, repeatable))
        })
    }
}

/// Knows whether anything has been handed on.
struct Once<'a> {
    sink: &'a mut dyn Sink,
    begun: bool,
}

impl Sink for Once<'_> {
    fn begin(&mut self, part: Part) -> io::Result<()> {
        self.begun = true;
        self.sink.begin(part)
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sink.bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::StatusCode;
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::time::Duration;

    const LIMITS: Limits =
        Limits { connect: Duration::from_secs(1), request: Duration::from_secs(1), min_rate: 1 };

    type Said = Arc<Mutex<Vec<String>>>;
    type Does = fn(&str) -> Result<StatusCode, NetError>;

    /// A node that does what the test says; what is asked of it is written down.
    struct Node {
        name: String,
        does: Arc<Mutex<BTreeMap<String, Does>>>,
        said: Said,
    }

    impl Node {
        fn answer(&self) -> Result<StatusCode, NetError> {
            self.said.lock().unwrap().push(self.name.clone());
            let does = self.does.lock().unwrap()[&self.name];
            does(&self.name)
        }
    }

    impl Carrier for Node {
        fn begin_anew(&mut self, _: Limits) {}

        fn call(&mut self, _: &Call<'_>) -> Result<Reply, NetError> {
            let status = self.answer()?;
            Ok(Reply { status, etag: None, retry_after_secs: None, body: self.name.clone().into_bytes() })
        }

        fn download(&mut self, _: &Download<'_>, sink: &mut dyn Sink) -> Result<Option<()>, NetError> {
            let begun = sink.begin(Part::FromStart);
            begun.map_err(|e| NetError::Sink(e.to_string()))?;
            self.answer().map(|_| Some(()))
        }
    }

    fn well(_: &str) -> Result<StatusCode, NetError> {
        Ok(StatusCode::OK)
    }

    fn busy(_: &str) -> Result<StatusCode, NetError> {
        Ok(StatusCode::SERVICE_UNAVAILABLE)
    }

    fn away(name: &str) -> Result<StatusCode, NetError> {
        Err(NetError::Unreachable { address: name.into(), why: "refused".into() })
    }

    fn stalls(name: &str) -> Result<StatusCode, NetError> {
        Err(NetError::Deadline { what: name.into(), secs: 1 })
    }

    fn drips(name: &str) -> Result<StatusCode, NetError> {
        Err(NetError::TooSlow { what: name.into(), min_rate: 1 })
    }

    fn no(_: &str) -> Result<StatusCode, NetError> {
        Ok(StatusCode::FORBIDDEN)
    }

    /// What three nodes do, a line to them, and who was asked.
    struct Bench {
        does: Arc<Mutex<BTreeMap<String, Does>>>,
        nodes: Nodes,
        said: Said,
    }

    impl Bench {
        fn new(does: [Does; 3]) -> Self {
            let named = ["a:1", "b:1", "c:1"];
            let does = named.iter().map(|name| (*name).to_owned()).zip(does).collect();
            let mut all = named.iter().map(|name| name.parse().unwrap());
            let first = all.next().unwrap();
            let more: Vec<Address> = all.collect();
            let twice = [more.clone(), more].concat();
            Self { does: Arc::new(Mutex::new(does)), nodes: Nodes::new(first, &twice), said: Said::default() }
        }

        fn line(&self) -> Line {
            let (does, said) = (self.does.clone(), self.said.clone());
            let open = move |address: &Address, _: Limits| {
                let (does, said) = (does.clone(), said.clone());
                Ok(Box::new(Node { name: address.to_string(), does, said }) as Box<dyn Carrier>)
            };
            Line::new(self.nodes.clone(), LIMITS, Box::new(open))
        }

        fn set(&self, name: &str, does: Does) {
            self.does.lock().unwrap().insert(name.into(), does);
        }

        fn asked(&self) -> String {
            std::mem::take(&mut *self.said.lock().unwrap()).join(" ")
        }
    }

    fn call(line: &mut Line) -> Result<String, NetError> {
        line.call(&Call::get("/", 9)).map(|reply| String::from_utf8(reply.body).unwrap())
    }

    #[test]
    fn the_next_address_is_asked_and_stays_in_use_until_it_fails() {
        for bad in [away, stalls, drips] as [Does; 3] {
            let bench = Bench::new([bad, well, well]);
            let mut line = bench.line();
            assert_eq!(call(&mut line).unwrap(), "b:1");
            assert_eq!(bench.asked(), "a:1 b:1");
            bench.set("a:1", well);
            assert_eq!(call(&mut line).unwrap(), "b:1");
            assert_eq!(bench.asked(), "b:1", "the first one is not asked again as long as this one answers");
            bench.set("b:1", bad);
            assert_eq!(call(&mut line).unwrap(), "c:1");
            bench.set("c:1", bad);
            assert_eq!(call(&mut line).unwrap(), "a:1", "and round again");
            assert_eq!(bench.nodes.current().to_string(), "a:1");
        }
    }

    #[test]
    fn each_is_asked_once_and_a_refusal_ends_it() {
        let bench = Bench::new([away, stalls, drips]);
        let mut line = bench.line();
        assert!(matches!(call(&mut line), Err(NetError::TooSlow { .. })));
        assert_eq!(bench.asked(), "a:1 b:1 c:1");
        bench.set("a:1", no);
        for _ in 0..2 {
            assert_eq!(call(&mut line).unwrap(), "a:1");
            assert_eq!(bench.asked(), "a:1", "what one node refuses is not tried at another");
        }
        // A node that cannot do its work has answered; the next call goes elsewhere.
        bench.set("a:1", busy);
        bench.set("b:1", well);
        assert_eq!(call(&mut line).unwrap(), "a:1");
        assert_eq!(call(&mut line).unwrap(), "b:1");
        assert_eq!(bench.asked(), "a:1 b:1");
    }

    #[test]
    fn a_second_line_follows_and_what_has_begun_to_come_in_is_not_begun_twice() {
        let bench = Bench::new([away, well, well]);
        let (mut line, mut second) = (bench.line(), bench.line());
        let from_a = second.link().map(|(place, _)| place);
        assert_eq!(from_a.unwrap(), 0);
        call(&mut line).unwrap();
        assert_eq!((bench.asked().as_str(), call(&mut second).unwrap().as_str()), ("a:1 b:1", "b:1"));
        assert_eq!(bench.asked(), "b:1");
        // Two that fail at once go one further.
        bench.nodes.leave(1);
        bench.nodes.leave(1);
        assert_eq!(bench.nodes.current().to_string(), "c:1");

        struct Count(u32);
        impl Sink for Count {
            fn begin(&mut self, _: Part) -> io::Result<()> {
                self.0 += 1;
                Ok(())
            }
            fn bytes(&mut self, _: &[u8]) -> io::Result<()> {
                Ok(())
            }
        }
        bench.set("c:1", drips);
        let what = Download { path: "/", from: 0, length: 1, proof: None };
        let mut sink = Count(0);
        assert!(line.download(&what, &mut sink).is_err());
        assert_eq!((sink.0, bench.asked().as_str()), (1, "c:1"));
        bench.set("a:1", well);
        assert_eq!(line.download(&what, &mut sink), Ok(Some(())));
        assert_eq!((sink.0, bench.asked().as_str()), (2, "a:1"), "the next time it comes from the next one");
    }
}
