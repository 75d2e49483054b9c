//! Listening sockets (proc_net_tcp(5)) and the programs that hold them.

use super::{line, text};
use crate::host::outdated::unit_of;
use shared::facts::{LISTENING, Protocol, Socket, clean};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

const TABLES: [(Protocol, &str); 4] = [
    (Protocol::Tcp, "/proc/net/tcp"),
    (Protocol::Tcp, "/proc/net/tcp6"),
    (Protocol::Udp, "/proc/net/udp"),
    (Protocol::Udp, "/proc/net/udp6"),
];
const CLIENT_PORTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// Program and unit of each socket, by its inode, as found the last time.
#[derive(Debug, Default)]
pub struct Owners(BTreeMap<u64, (Option<String>, Option<String>)>);

/// A socket that waits, and its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    protocol: Protocol,
    address: IpAddr,
    port: u16,
    inode: u64,
}

pub fn listening(owners: &mut Owners) -> io::Result<Vec<Socket>> {
    let clients = client_ports(&line(CLIENT_PORTS));
    let mut waiting = Vec::new();
    for (protocol, path) in TABLES {
        match text(path) {
            Ok(table) => waiting.extend(parse(protocol, &table, clients)),
            // Kernels without IPv6 have no such table.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    owners.learn(&waiting.iter().map(|socket| socket.inode).collect());
    let named = |socket: Waiting| {
        let (program, unit) = owners.0.get(&socket.inode).cloned().unwrap_or_default();
        Socket {
            port: socket.port,
            protocol: socket.protocol,
            address: socket.address.to_string(),
            program,
            unit,
        }
    };
    // Programs that wait with several sockets at one place are told once.
    let sockets: BTreeSet<Socket> = waiting.into_iter().map(named).collect();
    Ok(sockets.into_iter().take(LISTENING).collect())
}

/// The ports that the kernel gives to clients.
fn client_ports(range: &str) -> (u16, u16) {
    let mut ends = range.split_whitespace().map(str::parse);
    match (ends.next(), ends.next()) {
        (Some(Ok(first)), Some(Ok(last))) => (first, last),
        _ => (32_768, 60_999),
    }
}

fn parse(protocol: Protocol, table: &str, clients: (u16, u16)) -> impl Iterator<Item = Waiting> {
    table.lines().filter_map(move |line| {
        // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
        let mut fields = line.split_whitespace();
        let (local, remote, state) = (fields.nth(1)?, fields.next()?, fields.next()?);
        let inode = fields.nth(5)?.parse().ok()?;
        let (address, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let is_waiting = match protocol {
            Protocol::Tcp => state == "0A",
            Protocol::Udp => {
                let is_client = (clients.0..=clients.1).contains(&port);
                state == "07" && remote.ends_with(":0000") && !is_client
            }
        };
        is_waiting.then_some(())?;
        Some(Waiting { protocol, address: address_of(address)?, port, inode })
    })
}

/// Words of 32 bits, each in the byte order of the machine.
pub(crate) fn address_of(text: &str) -> Option<IpAddr> {
    let word = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(text)?))),
        32 => {
            let mut bytes = [0; 16];
            for (n, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(text.get(8 * n..8 * n + 8)?)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

impl Owners {
    /// Goes through the processes only when one of the sockets is new.
    fn learn(&mut self, inodes: &BTreeSet<u64>) {
        self.0.retain(|inode, _| inodes.contains(inode));
        if inodes.iter().all(|inode| self.0.contains_key(inode)) {
            return;
        }
        let mut processes: Vec<u32> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        // The first process holds the sockets that it hands to services; those who got them come first.
        processes.sort_by_key(|pid| (*pid == 1, *pid));
        let mut open = inodes.clone();
        open.retain(|inode| !self.0.contains_key(inode));
        for pid in processes {
            let dir = Path::new("/proc").join(pid.to_string());
            let held: Vec<u64> = held(&dir).filter(|inode| open.remove(inode)).collect();
            if !held.is_empty() {
                let owner = owner(&dir);
                self.0.extend(held.into_iter().map(|inode| (inode, owner.clone())));
            }
            if open.is_empty() {
                break;
            }
        }
        // Of the kernel itself, or of a process that the agent may not look at.
        self.0.extend(open.into_iter().map(|inode| (inode, (None, None))));
    }
}

/// Inodes of the sockets of a process; none when it has ended or may not be looked at.
fn held(process: &Path) -> impl Iterator<Item = u64> {
    let entries = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

fn owner(process: &Path) -> (Option<String>, Option<String>) {
    let program = Some(clean(&line(process.join("comm")))).filter(|name| !name.is_empty());
    let unit = text(process.join("cgroup")).ok().and_then(|text| unit_of(&text)).map(|unit| clean(&unit));
    (program, unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
        \x20  0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1001 1 0000000000000000 100 0 0 10 0\n\
        \x20  1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1002 1\n\
        \x20  2: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 1003 1\n";
    const UDP6: &str = "   0: 00000000000000000000000001000000:007B 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 2001 2\n\
        \x20  1: 00000000000000000000000000000000:C000 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 2002 2\n";

    fn told(protocol: Protocol, table: &str) -> Vec<String> {
        let clients = client_ports("32768\t60999");
        parse(protocol, table, clients).map(|s| format!("{} {} {}", s.address, s.port, s.inode)).collect()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn waiting_sockets_are_told_and_connections_and_clients_are_not() {
        assert_eq!(told(Protocol::Tcp, TCP), ["0.0.0.0 22 1001", "127.0.0.1 8080 1002"]);
        assert_eq!(told(Protocol::Udp, UDP6), ["::1 123 2001"]);
        for bad in
            ["0: 0:0 0:0 0A", "0: 00000000:FFFFF 0:0 0A 0:0 0:0 0 0 0 1", "0: zz 0:0 0A 0 0 0 0 0 1", ":::"]
        {
            assert_eq!(told(Protocol::Tcp, bad), [""; 0], "{bad}");
        }
        assert_eq!(client_ports("nonsense"), (32_768, 60_999));
    }

    #[test]
    fn a_socket_of_this_process_is_found_with_its_program() {
        let here = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = here.local_addr().unwrap().port();
        let mut owners = Owners::default();
        let find = |owners: &mut Owners| {
            let all = listening(owners).unwrap();
            all.into_iter().find(|s| (s.protocol, s.port) == (Protocol::Tcp, port))
        };
        let found = find(&mut owners).unwrap();
        let own = fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!((found.address.as_str(), found.program.as_deref()), ("127.0.0.1", Some(own.trim())));
        assert_eq!(find(&mut owners), Some(found), "from memory");
        drop(here);
        assert_eq!(find(&mut owners), None);
    }

    proptest! {
        #[test]
        fn no_table_makes_it_fail(table in "([0-9A-F: \\n]|0A|[ -~]){0,300}") {
            prop_assert!(told(Protocol::Tcp, &table).len() <= table.lines().count());
        }
    }
}
