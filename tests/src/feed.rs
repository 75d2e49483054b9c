//! A calendar on the net that others keep: served as it is now, over HTTP on loopback.

use shared::time::{Interval, Timestamp};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Serves until the process ends.
pub struct Feed {
    pub url: String,
    text: Arc<Mutex<String>>,
}

impl Feed {
    pub fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/office.ics", listener.local_addr().unwrap());
        let text = Arc::new(Mutex::new(String::new()));
        let served = text.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A reader that breaks off is its own matter.
                drop(answer(&stream, &served.lock().unwrap()));
            }
        });
        Self { url, text }
    }

    pub fn say(&self, times: &[Interval]) {
        *self.text.lock().unwrap() = file(times);
    }
}

fn answer(mut stream: &TcpStream, text: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/calendar\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}

fn file(times: &[Interval]) -> String {
    let stamp = |at: Timestamp| at.to_string().replace(['-', ':'], "");
    let event = |time: &Interval| {
        let (from, until) = (stamp(time.from), stamp(time.until));
        format!(
            "BEGIN:VEVENT\r\nUID:{from}\r\nSUMMARY:Freeze\r\nDTSTART:{from}\r\nDTEND:{until}\r\nEND:VEVENT\r\n"
        )
    };
    let events: String = times.iter().map(event).collect();
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//office//EN\r\n{events}END:VCALENDAR\r\n")
}
