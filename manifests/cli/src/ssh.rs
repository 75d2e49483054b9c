//! Signing with OpenSSH: a key in an ssh-agent, or a key file through `ssh-keygen`.
//!
//! Owns the agent's protocol (draft-ietf-sshm-ssh-agent: list identities, sign). Never: a private key in this process, and
//! never a signature that was not checked here as hosts will check it.

use crate::error::{Context as _, Done, Failure};
use shared::keys::AnyKey;
use shared::policy::PersonKey;
use shared::signature::{self, KeyKind};
use shared::sshsig::{self, SshKey};
use shared::statement::{Predicate, Statement};
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const FAILURE: u8 = 5;
const LIST: u8 = 11;
const LISTED: u8 = 12;
const SIGN: u8 = 13;
const SIGNED: u8 = 14;
/// What OpenSSH's own client accepts as one answer.
const ANSWER_BYTES: usize = 256 << 10;
/// Long enough to touch a security key or to type a passphrase into the agent's window.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the private key is.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    Agent,
    File(&'a Path),
}

/// Adds the signature of an OpenSSH key of `keys` to a statement; the first that the place has.
pub fn sign<P: Predicate>(statement: &mut Statement<P>, keys: &[&PersonKey], place: Place<'_>) -> Done {
    let keys: Vec<(&PersonKey, SshKey<'_>)> =
        keys.iter().filter_map(|key| key.kind.ssh(&key.public).map(|ssh| (*key, ssh))).collect();
    if keys.is_empty() {
        return Err(Failure::refused("the policy names no OpenSSH key of yours that may sign this").remedy(
            "whoever holds governance adds one: assent policy add-key PERSON --ssh FILE.pub --role approver",
        ));
    }
    let namespace = signature::namespace(P::TYPE);
    let message = statement.envelope.signed_bytes();
    let blob = match place {
        Place::Agent => by_agent(&agent_socket()?, &keys, &namespace, &message)?,
        Place::File(path) => by_keygen(path, &namespace, &message)?,
    };
    let made = keys.iter().find(|(_, ssh)| sshsig::verifies(&blob, ssh, &namespace, &message));
    let Some((key, _)) = made else {
        return Err(Failure::refused(
            "this is no signature of an OpenSSH key of yours that the policy names",
        )
        .why(listed(&keys))
        .remedy("give another key file, or see `assent policy show`"));
    };
    statement.envelope.signatures.push(signature::ssh_entry(&key.public, &blob));
    Ok(())
}

/// An OpenSSH public key file as the policy names a key.
pub fn public(line: &str) -> Option<(AnyKey, KeyKind)> {
    let (key, application) = sshsig::parse_public(line)?;
    let kind = match application {
        None => KeyKind::Ssh,
        Some(application) => KeyKind::SshSk(signature::Application { application }),
    };
    Some((key.into(), kind))
}

fn listed(keys: &[(&PersonKey, SshKey<'_>)]) -> String {
    let lines = keys.iter().map(|(_, ssh)| sshsig::public_line(ssh));
    format!("the policy names {}", lines.collect::<Vec<_>>().join(", "))
}

fn agent_socket() -> Done<OsString> {
    std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).ok_or_else(|| {
        Failure::usage("there is no ssh-agent: SSH_AUTH_SOCK is not set")
            .remedy("start one with: eval $(ssh-agent) && ssh-add, or give the key: --ssh=FILE")
    })
}

fn by_agent(
    socket: &OsString,
    keys: &[(&PersonKey, SshKey<'_>)],
    namespace: &str,
    message: &[u8],
) -> Done<Vec<u8>> {
    let mut agent = Agent::connect(socket)?;
    let known = agent.list()?;
    let (_, ssh) = keys.iter().find(|(_, ssh)| known.contains(&ssh.blob())).ok_or_else(|| {
        Failure::refused("the ssh-agent holds none of your keys that the policy names")
            .why(listed(keys))
            .remedy("add it with ssh-add, or give the key file: --ssh=FILE")
    })?;
    let signature = agent.sign(&ssh.blob(), &sshsig::to_sign(namespace, message))?;
    Ok(sshsig::wrap(ssh, namespace, &signature))
}

/// A connection to an ssh-agent.
struct Agent(UnixStream);

impl Agent {
    fn connect(socket: &OsString) -> Done<Self> {
        let failed = format!("the ssh-agent at {} cannot be reached", Path::new(socket).display());
        let stream = UnixStream::connect(socket).or_fault(failed.clone())?;
        stream.set_read_timeout(Some(PATIENCE)).or_fault(failed.clone())?;
        stream.set_write_timeout(Some(PATIENCE)).or_fault(failed)?;
        Ok(Self(stream))
    }

    /// The keys that it holds, as SSH writes them.
    fn list(&mut self) -> Done<Vec<Vec<u8>>> {
        let answer = self.ask(&[LIST], LISTED)?;
        let mut rest = answer.as_slice();
        let count = rest.split_off(..4).and_then(|four| four.try_into().ok()).map(u32::from_be_bytes);
        let mut keys = Vec::new();
        for _ in 0..count.ok_or_else(odd)? {
            keys.push(field(&mut rest).ok_or_else(odd)?.to_vec());
            field(&mut rest).ok_or_else(odd)?; // its comment
        }
        Ok(keys)
    }

    fn sign(&mut self, key: &[u8], data: &[u8]) -> Done<Vec<u8>> {
        let mut request = vec![SIGN];
        put(&mut request, key);
        put(&mut request, data);
        request.extend_from_slice(&0u32.to_be_bytes());
        let answer = self.ask(&request, SIGNED)?;
        let mut rest = answer.as_slice();
        let signature = field(&mut rest).filter(|_| rest.is_empty()).ok_or_else(odd)?;
        Ok(signature.to_vec())
    }

    /// One question, and the body of an answer of the wanted type.
    fn ask(&mut self, request: &[u8], wanted: u8) -> Done<Vec<u8>> {
        let failed = "the ssh-agent did not answer";
        let mut message = Vec::new();
        put(&mut message, request);
        self.0.write_all(&message).or_fault(failed)?;
        let mut length = [0; 4];
        self.0.read_exact(&mut length).or_fault(failed)?;
        let length = u32::from_be_bytes(length) as usize;
        if length == 0 || length > ANSWER_BYTES {
            return Err(odd());
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer).or_fault(failed)?;
        match answer.first() {
            Some(kind) if *kind == wanted => Ok(answer.split_off(1)),
            Some(&FAILURE) => Err(Failure::refused("the ssh-agent refused to sign")
                .remedy("unlock it, confirm the question that it asks, or touch the security key")),
            _ => Err(odd()),
        }
    }
}

fn odd() -> Failure {
    Failure::fault("the ssh-agent's answer cannot be read")
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    #[expect(clippy::cast_possible_truncation, reason = "requests are far below 4 GiB")]
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn field<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = u32::from_be_bytes(bytes.split_off(..4)?.try_into().ok()?);
    bytes.split_off(..length as usize)
}

/// `ssh-keygen` reads the key, asks for its passphrase, and uses the agent where only the public part is in the file.
fn by_keygen(path: &Path, namespace: &str, message: &[u8]) -> Done<Vec<u8>> {
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "sign", "-n", namespace, "-f"]).arg(path);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().or_fault("ssh-keygen cannot be started; it comes with OpenSSH")?;
    if let Some(mut stdin) = child.stdin.take() {
        // Where it reads nothing, because the key is wrong, it says so itself below.
        drop(stdin.write_all(message));
    }
    let output = child.wait_with_output().or_fault("ssh-keygen did not end")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::refused(format!("ssh-keygen did not sign with {}", path.display()))
            .why(crate::text::clean(said.lines().last().unwrap_or_default())));
    }
    let text = String::from_utf8(output.stdout).or_fault("ssh-keygen answered no text")?;
    sshsig::dearmor(&text)
        .ok_or_else(|| Failure::fault("ssh-keygen answered something else than a signature"))
}

#[cfg(test)]
mod tests;
