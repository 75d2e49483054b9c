//! Talking to the server: one TLS connection per request, trusting the site's own authority and nothing else.
//!
//! Owns transport, retries and the reading of problems. Never: believes content; callers verify signatures.

pub mod api;
mod client;

pub use client::{Client, Method, Only, Reply, Request, Seen};
