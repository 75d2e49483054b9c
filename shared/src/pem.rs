//! Certificates in a PEM text, one by one (RFC 7468 §2). What is between them is left out.

/// Where machines keep the certificate authorities that they trust: Debian, RPM distributions, SUSE.
pub const BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Each certificate with its first and last line; one that has no last line is none.
pub fn certificates(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some((_, from)) = rest.split_once(BEGIN) {
        let Some((inside, after)) = from.split_once(END) else { break };
        all.push(format!("{BEGIN}{inside}{END}\n"));
        rest = after;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_apart_and_put_together_again() {
        let (one, two) = (format!("{BEGIN}\nAA\n{END}\n"), format!("{BEGIN}\nBB\n{END}\n"));
        let whole = format!("subject=x\n{one}\n-----BEGIN KEY-----\n{two}{BEGIN}\ncut");
        assert_eq!(certificates(&whole), [one.clone(), two.clone()]);
        assert_eq!(certificates(&(one.clone() + &two)).concat(), one + &two);
        assert!(certificates("").is_empty() && certificates(END).is_empty());
    }
}
